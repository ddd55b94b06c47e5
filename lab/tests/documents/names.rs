//! Names are spelled as their owners spell them, and Chinese is Taiwan's.

use std::sync::LazyLock;

use regex::Regex;

use crate::markdown::{split, words};
use crate::repository::{Document, all, below};

/// As people write them, and right.
const NAMES: [(&str, &str); 27] = [
    (r"kubernetes|KUBERNETES|K8s|k8s|K8S", "Kubernetes"),
    (r"Kubelet|KubeLet", "kubelet"),
    (r"Kubeadm|KubeAdm", "kubeadm"),
    (r"Kubectl|KubeCtl", "kubectl"),
    (r"Kube-[Pp]roxy|kubeproxy", "kube-proxy"),
    (r"Containerd|ContainerD|containerD", "containerd"),
    (r"Runc|RunC", "runc"),
    (r"Etcd|ETCD", "etcd"),
    (r"Coredns|coredns|CoreDns", "CoreDNS"),
    (r"cilium|CILIUM", "Cilium"),
    (r"ebpf|EBPF|Ebpf|EBpf", "eBPF"),
    (r"Bpf|bpf", "BPF"),
    (r"BTf|Btf|btf", "BTF"),
    (r"Bpffs|BPFFS", "bpffs"),
    (r"Libbpf|LibBPF", "libbpf"),
    (r"Bpftool|BPFtool", "bpftool"),
    (r"vagrant", "Vagrant"),
    (r"Virtualbox|virtualbox|Virtual Box", "VirtualBox"),
    (r"Libvirt|LibVirt", "libvirt"),
    (r"Vmware|VMWare|vmware", "VMware"),
    (r"Networkpolicy|networkpolicy|Network Policy|network policy", "NetworkPolicy"),
    (r"Iptables|IPTables|IPtables|ip tables", "iptables"),
    (r"Nftables|NFTables|NFtables", "nftables"),
    (r"ipv4|IPV4|Ipv4|ipv6|IPV6|Ipv6", "IPv4, IPv6"),
    (r"linux|LINUX", "Linux"),
    (r"Github|github", "GitHub"),
    (r"Conntrack table|NetFilter|netFilter", "conntrack, netfilter"),
];

/// The mainland's words, and Taiwan's.
const MAINLAND: [(&str, &str); 40] = [
    ("數據包", "封包"),
    ("數據", "資料"),
    ("網絡", "網路"),
    ("內核", "核心"),
    ("接口", "介面"),
    ("默認", "預設"),
    ("信息", "資訊、訊息"),
    ("內存", "記憶體"),
    ("程序", "程式"),
    ("鏈接", "連結"),
    ("支持", "支援"),
    ("服務器", "伺服器"),
    ("軟件", "軟體"),
    ("硬件", "硬體"),
    ("用戶", "使用者"),
    ("調用", "呼叫"),
    ("進程", "行程"),
    ("線程", "執行緒"),
    ("緩存", "快取"),
    ("字符", "字元"),
    ("變量", "變數"),
    ("函數", "函式"),
    ("創建", "建立"),
    ("端口", "埠、連接埠"),
    ("命令行", "命令列"),
    ("源代碼", "原始碼"),
    ("鏡像", "映像檔"),
    ("集群", "叢集"),
    ("數組", "陣列"),
    ("隊列", "佇列"),
    ("哈希", "雜湊"),
    ("地址", "位址"),
    ("兼容", "相容"),
    ("異步", "非同步"),
    ("運行", "執行"),
    ("操作系統", "作業系統"),
    ("加載", "載入"),
    ("協議", "協定"),
    ("報文", "封包"),
    ("模塊", "模組"),
];

/// Characters that only simplified Chinese has.
const SIMPLIFIED: &str = "这们为时来对开关从见说读写试网络数据进过还认问题让应该连线节点规则标签并无经组织类产发动变长东车门间听处备";

/// The deck's pages, which are Chinese without a name that says so.
const DECK: &str = "slides/";

fn wrong(document: &Document) -> Vec<String> {
    static WRONG: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let regex =
            |wrong: &str| Regex::new(&format!(r"(^|[^\w./-])({wrong})($|[^\w./-]|[.-]?\s|[.-]$)"));
        NAMES.map(|(wrong, right)| (regex(wrong).unwrap(), right)).into()
    });
    let mut all = Vec::new();
    for (line, text) in split(&document.text).1 {
        let text = words(text);
        let mut complain = |what: &str, right: &str| {
            all.push(format!("{}:{line}: {what}: write {right}", document.path));
        };
        for (regex, right) in WRONG.iter() {
            if let Some(found) = regex.captures(&text) {
                complain(&found[2], right);
            }
        }
        if !document.is_english() || document.path.starts_with(DECK) {
            for (mainland, taiwan) in MAINLAND.iter().filter(|(it, _)| text.contains(it)) {
                complain(mainland, taiwan);
            }
            let simplified = |c: &char| SIMPLIFIED.contains(*c);
            if let Some(found) = text.chars().find(simplified) {
                complain(&found.to_string(), "traditional Chinese");
            }
        }
    }
    all
}

#[test]
fn names_are_spelled_right_and_chinese_is_taiwans() {
    let deck = below(DECK).into_iter().filter(|path| path.ends_with(".md"));
    let deck = deck.map(|path| Document::read(&path));
    let wrong: Vec<_> = all().into_iter().chain(deck).flat_map(|it| wrong(&it)).collect();
    assert!(
        wrong.is_empty(),
        "\n\n{}\n\nCode belongs into backticks. Names: lab/tests/documents/names.rs.\n",
        wrong.join("\n")
    );
}

#[test]
fn wrong_names_are_found() {
    let complaints = |path: &str, text: &str| {
        wrong(&Document { path: path.into(), text: text.into() }).join("\n")
    };
    for bad in ["The Kubelet.", "an ebpf program", "K8s", "on github", "see linux.", "(Containerd)"]
    {
        assert!(complaints("X.md", bad).contains("X.md:1: "), "{bad}");
    }
    let good = "eBPF, `ebpf-agent`, ebpf-agent, github.com/x, ebpfcni, kubelet, [K](k8s.md)\n```text\nk8s\n```\n";
    assert_eq!(complaints("X.md", good), "");
    for bad in ["網絡", "默認的路由", "这是", "支持 IPv4"] {
        assert!(complaints("X.zh-TW.md", bad).contains("write"), "{bad}");
        assert_eq!(complaints("X.md", bad), "");
    }
    assert_eq!(complaints("X.zh-TW.md", "核心的網路命名空間，預設支援 IPv4"), "");
}
