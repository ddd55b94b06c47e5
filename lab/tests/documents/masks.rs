//! What varies from run to run, and so is not compared. Only what must be here: each mask is
//! something that a document could say wrongly.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// Each with what stands for it.
const MASKS: [(&str, &str); 17] = [
    (r"veth[0-9a-f]{11}", "VETH"), // a hash of the container's id
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID"),
    (r"\b[0-9a-f]{12,}\b", "HASH"),
    (r"\b\d{4}-\d\d-\d\dT[0-9:.]+Z?", "TIME"),
    (r"\b\d\d:\d\d:\d\d(\.\d+)?\b", "TIME"),
    (r"\b(time[= ]?)\d+(\.\d+)?( ?ms)?", "${1}TIME"), // ping
    (r"\b(\d+\.\d+/){2,}\d+\.\d+ ms", "TIMES"),
    (r"\b\d+(\.\d+)?(ns|us|µs|ms)\b", "TIME"),
    (r"\b(\d+[smhd])+\b( ago)?", "AGE"),
    // Pods' MACs follow their addresses and the bridge's is fixed; others are drawn.
    (r"\b[0-9a-f][13579bdf2-9ace](:[0-9a-f]{2}){5}\b", "MAC"),
    (r"@if\d+", "@ifN"),
    (r":\d+ →", ":PORT →"), // whom a client happens to be
    (r"^\d+: ", "N: "),     // a link, a program, a map
    (
        r"\b(id|prog_id|map_ids|tag|pids?|pid|btf_id|uid|xlated|jited|memlock|handle|ifindex|index)([=:]? )(0x)?[0-9a-f]+B?(,[0-9]+)*\b",
        "${1}${2}N",
    ),
    (r"\((\d+)\)|:\[\d+\]", "(N)"), // bpftool net
    (r"^\s*\S+-\d+\s+\[\d+\] \S+\s+[0-9.]+: ", "TASK: "), // the trace
    (r"\bv\d+\.\d+\.\d+\b", "VERSION"),
];

static COMPILED: LazyLock<Vec<(Regex, &str)>> =
    LazyLock::new(|| MASKS.map(|(regex, mask)| (Regex::new(regex).unwrap(), mask)).into());

/// A line as it is compared.
pub fn masked(line: &str) -> String {
    let mut line = Cow::from(line);
    for (regex, mask) in COMPILED.iter() {
        line = Cow::from(regex.replace_all(&line, *mask).into_owned());
    }
    // The widths of columns follow what varies in them.
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn what_varies_is_masked_and_nothing_else() {
    let same = [
        ("web    1/1     Running   0s    10.13.0.2", "web   1/1   Running   12m   10.13.0.2"),
        (
            "64 bytes from 10.13.0.4: icmp_seq=1 ttl=64 time=0.230 ms",
            "64 bytes from 10.13.0.4: icmp_seq=1 ttl=64 time=11 ms",
        ),
        (
            "1 packets transmitted, 1 received, 0% packet loss, time 0ms",
            "1 packets transmitted, 1 received, 0% packet loss, time 1003ms",
        ),
        (
            "veth2ef005dddae(4) clsact/ingress simple_tc_parse:[382] id 382",
            "vethc0f5cb91ad2(12) clsact/ingress simple_tc_parse:[9] id 9",
        ),
        ("3: vethc0f5cb91ad2@bridge0: <UP>", "14: vethc0f5cb91ad3@bridge0: <UP>"),
    ];
    for (one, other) in same {
        assert_eq!(masked(one), masked(other));
    }
    let different = [
        ("web 1/1 Running 0s 10.13.0.2", "web 1/1 Running 0s 10.13.0.3"),
        ("link/ether 0a:58:0a:0d:00:02", "link/ether 0a:58:0a:0d:00:03"),
        ("0% packet loss", "100% packet loss"),
        ("Allow 256 app=frontend", "Allow 257 app=frontend"),
    ];
    for (one, other) in different {
        assert_ne!(masked(one), masked(other));
    }
}
