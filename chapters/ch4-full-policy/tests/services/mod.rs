//! Services, NodePorts and hostPorts: translated as kube-proxy does it, before a packet is routed.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use crate::probe::{Cluster, DEADLINE};

/// How long to listen for what must not come, when all else has come.
pub const SETTLE: Duration = Duration::from_millis(300);

/// Makes these all Services there are, each as `10.96.0.10:80/TCP > 10.13.0.2:8080`. Of several targets
/// each gets its turn. With `hidden` behind it the node gives the packets its own address, as for
/// `externalTrafficPolicy: Cluster`.
pub fn services(cluster: &Cluster, services: &[String]) {
    let (mut translate, mut hairpin) = (String::new(), String::new());
    for service in services {
        let words: Vec<_> = service.split_whitespace().collect();
        let [address, ">", targets, hidden @ ..] = &words[..] else { panic!("{service}") };
        let (address, protocol) = address.split_once('/').unwrap();
        let (address, port) = address.split_once(':').unwrap();
        let targets: Vec<_> = targets.split(',').map(|it| it.split_once(':').unwrap()).collect();
        let target = |(number, (target, port)): (usize, &(&str, &str))| {
            format!("{number} : {target} . {port}")
        };
        let all: Vec<_> = targets.iter().enumerate().map(target).collect();
        let mark = if hidden == ["hidden"] { "meta mark set meta mark | 0x4000" } else { "" };
        translate += &format!(
            "ip daddr {address} {protocol} dport {port} {mark} dnat ip to numgen inc mod {} map \
             {{ {} }}\n",
            all.len(),
            all.join(", "),
            protocol = protocol.to_lowercase(),
        );
        for (target, _) in targets {
            hairpin += &format!("ip saddr {target} ip daddr {target} masquerade\n");
        }
    }
    let rules = format!(
        "table ip services
         delete table ip services
         table ip services {{
           chain prerouting {{ type nat hook prerouting priority dstnat; {translate} }}
           chain output {{ type nat hook output priority -100; {translate} }}
           chain postrouting {{
             type nat hook postrouting priority srcnat - 1
             meta mark & 0x4000 == 0x4000 masquerade
             {hairpin}
           }}
         }}"
    );
    cluster.node.run(&["nft", &rules]).unwrap();
}

/// Asks by so many sockets, of which half must be answered: how often who has.
pub fn who_answers(
    cluster: &Cluster,
    from: &str,
    to: (Ipv4Addr, u16),
    count: usize,
    expected: usize,
) -> BTreeMap<String, usize> {
    let open = || (0..count).map(|_| UdpSocket::bind("0.0.0.0:0").unwrap()).collect::<Vec<_>>();
    let sockets = cluster.places[from].enter(&cluster.node, open);
    for socket in &sockets {
        socket.set_nonblocking(true).unwrap();
        socket.send_to(&[0; 8], to).unwrap();
    }
    let mut answers = BTreeMap::new();
    let mut until = Instant::now() + DEADLINE;
    let mut buffer = [0; 64];
    let mut is_settling = false;
    while Instant::now() < until {
        for socket in &sockets {
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    let name = String::from_utf8_lossy(&buffer[8..length]).into_owned();
                    *answers.entry(name).or_insert(0) += 1;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        if !is_settling && answers.values().sum::<usize>() >= expected {
            (is_settling, until) = (true, Instant::now() + SETTLE);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    answers
}
