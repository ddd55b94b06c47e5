//! A Service for each pod, as kube-proxy would make it: with an address and ports of its own.

use std::net::Ipv4Addr;

use lab::Node;

use crate::oracle::Host;

/// What a Service calls the ports 80 and 81.
pub const SERVICE_PORTS: [u16; 2] = [8080, 8181];

/// The address of the Service that has this pod behind it.
pub fn service_address(pod: Ipv4Addr) -> Ipv4Addr {
    let [_, _, c, d] = pod.octets();
    Ipv4Addr::new(10, 96, c, d)
}

/// Makes a Service for each of these, and no others. What goes back to whence it came gets the
/// node's address.
pub fn make<'a>(node: &Node, hosts: impl Iterator<Item = &'a Host>) {
    let (mut translate, mut hairpin) = (String::new(), String::new());
    for Host { address, .. } in hosts {
        let service = service_address(*address);
        for protocol in ["tcp", "udp"] {
            for (port, target) in SERVICE_PORTS.into_iter().zip([80, 81]) {
                translate += &format!(
                    "ip daddr {service} {protocol} dport {port} dnat to {address}:{target}\n"
                );
            }
        }
        hairpin += &format!("ip saddr {address} ip daddr {address} masquerade\n");
    }
    let rules = format!(
        "table ip service
         delete table ip service
         table ip service {{
           chain prerouting {{ type nat hook prerouting priority dstnat; {translate} }}
           chain output {{ type nat hook output priority -100; {translate} }}
           chain postrouting {{ type nat hook postrouting priority srcnat - 1; {hairpin} }}
         }}"
    );
    node.run(&["nft", &rules]).unwrap();
    // Only where there is a route to a Service's address does anybody send, and have it translated.
    node.sh("ip route replace 10.96.0.0/16 dev lo").unwrap();
}
