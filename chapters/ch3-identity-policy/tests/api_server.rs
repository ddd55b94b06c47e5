//! A list that comes late, an API server that goes away and comes back: one of our own, which does
//! as it is told. What it knows are the lab's objects.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
mod scene;

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lab::{CniCall, Kind, Node, Pod};
use plugin::{conf, fail, ready_node};
use scene::{FRIENDS_ONLY, ask, reaches, run, within};
use serde_json::json;

const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
clusters: [{ name: lab, cluster: { server: 'http://127.0.0.1:6443' } }]
contexts: [{ name: lab, context: { cluster: lab, user: lab } }]
current-context: lab
users: [{ name: lab, user: {} }]
";

/// Lists and watches, no more.
struct ApiServer {
    node: Node,
    /// It answers at all.
    is_there: AtomicBool,
    /// It has got as far as listing policies.
    knows_policies: AtomicBool,
    /// Watches that are open.
    watches: Mutex<Vec<TcpStream>>,
}

impl ApiServer {
    /// Serves the node's objects until the process ends.
    fn start(node: Node) -> Arc<Self> {
        let listener = node.enter(|| TcpListener::bind("127.0.0.1:6443").unwrap()).unwrap();
        let (is_there, knows_policies) = (AtomicBool::new(true), AtomicBool::new(true));
        let server = Arc::new(Self { node, is_there, knows_policies, watches: Mutex::default() });
        let served = Arc::downgrade(&server);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let Some(server) = served.upgrade() else { return };
                // Whoever is not answered tries again.
                let _ = server.answer(connection.unwrap());
            }
        });
        server
    }

    fn answer(&self, mut connection: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(connection.try_clone()?).lines();
        let request = lines.next().ok_or(ErrorKind::UnexpectedEof)??;
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        if !self.is_there.load(Ordering::SeqCst) {
            return Ok(()); // closed without an answer
        }
        let kinds = [
            ("/pods?", "Pod", Kind::Pod),
            ("/namespaces?", "Namespace", Kind::Namespace),
            ("/networkpolicies?", "NetworkPolicy", Kind::NetworkPolicy),
        ];
        let (_, name, kind) = kinds.into_iter().find(|it| request.contains(it.0)).unwrap();
        if name == "NetworkPolicy" && !self.knows_policies.load(Ordering::SeqCst) {
            // As while its ClusterRole is not there.
            return write!(connection, "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n");
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
        write!(connection, "{head}")?;
        if request.contains("watch=true") {
            self.watches.lock().unwrap().push(connection);
            return Ok(());
        }
        let items = self.node.objects(kind).unwrap();
        let list = json!({
            "kind": format!("{name}List"), "metadata": { "resourceVersion": "1" }, "items": items
        });
        write!(connection, "{list}")
    }

    /// No answer any more; what is open ends.
    fn goes_away(&self) {
        self.is_there.store(false, Ordering::SeqCst);
        self.watches.lock().unwrap().clear();
    }

    /// It is back, and does not remember what it has told to whom (HTTP 410, "Gone").
    fn comes_back(&self) {
        self.is_there.store(true, Ordering::SeqCst);
        let gone = json!({ "type": "ERROR", "object": {
            "kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": ""
        }});
        eventually("the watches are back", || self.watches.lock().unwrap().len() >= 3);
        for mut watch in self.watches.lock().unwrap().drain(..) {
            writeln!(watch, "{gone}").unwrap();
        }
    }

    /// The agent, with this API server instead of the manifests.
    fn start_agent(&self) {
        self.node.sh(&format!("cat >/run/lab/kubeconfig <<'END'\n{KUBECONFIG}\nEND")).unwrap();
        let agent = format!("{} run --node {}", lab::AGENT, self.node.name());
        let run = "KUBECONFIG=/run/lab/kubeconfig setsid -f";
        self.node.sh(&format!("{run} {agent} >/run/lab/agent.log 2>&1 </dev/null")).unwrap();
        eventually("it runs", || self.node.agent_pid().is_some());
    }
}

/// Waits until something is so: the agent's watches may take their time to try again.
#[track_caller]
fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    within(Duration::from_secs(60), what, is_so);
}

/// A victim, a friend and another, made while the agent had the manifests, and their policy.
fn cluster() -> (Arc<ApiServer>, [Pod; 3]) {
    let node = ready_node();
    let pods = ["victim", "friend", "other"].map(|app| run(&node, app));
    node.apply(FRIENDS_ONLY).unwrap();
    eventually("it is enforced", || !reaches(&node, &pods[2], &pods[0]));
    node.stop_agent().unwrap();
    (ApiServer::start(node), pods)
}

#[test]
fn while_policies_are_not_listed_yet_nothing_is_decided() {
    let (api_server, [victim, friend, other]) = cluster();
    let node = &api_server.node;
    let before = ask(node, "bpf policy get -o json");
    api_server.knows_policies.store(false, Ordering::SeqCst);
    api_server.start_agent();
    eventually("it has asked for them", || node.agent_log().contains("networkpolicies"));
    let pod = node.sandbox().unwrap();
    assert!(fail(node, CniCall::new("STATUS").stdin(conf().to_string()), 50).contains("not all"));
    assert!(fail(node, CniCall::add(&pod, &conf()), 11).contains("ebpf-agent did not"));
    assert_eq!(ask(node, "bpf policy get -o json"), before, "nothing was decided");
    assert!(reaches(node, &friend, &victim) && !reaches(node, &other, &victim));

    api_server.knows_policies.store(true, Ordering::SeqCst);
    node.wait_for_agent(Duration::from_secs(60)).unwrap();
    assert!(reaches(node, &friend, &victim) && !reaches(node, &other, &victim));
}

#[test]
fn what_changed_while_the_api_server_was_away_holds_when_it_is_back() {
    let (api_server, [victim, friend, other]) = cluster();
    let node = &api_server.node;
    api_server.start_agent();
    node.wait_for_agent(Duration::from_secs(60)).unwrap();
    assert!(reaches(node, &friend, &victim) && !reaches(node, &other, &victim));
    api_server.goes_away();
    eventually("the agent has noticed", || node.agent_log().contains("watching pods"));
    node.apply(&FRIENDS_ONLY.replace("app: friend", "app: other")).unwrap();
    assert!(reaches(node, &friend, &victim) && !reaches(node, &other, &victim));
    api_server.comes_back();
    eventually("the other one is a friend now", || reaches(node, &other, &victim));
    assert!(!reaches(node, &friend, &victim));
}

#[test]
fn a_policy_that_cannot_be_read_hides_no_other_one() {
    let (api_server, [victim, friend, other]) = cluster();
    let node = &api_server.node;
    let odd = r#"{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "elsewhere", "name": "odd"}, "spec": {"ingress": 5}}"#;
    node.write_manifest("networkpolicy_elsewhere_odd.yaml", odd).unwrap();
    api_server.start_agent();
    node.wait_for_agent(Duration::from_secs(60)).unwrap();
    assert!(reaches(node, &friend, &victim) && !reaches(node, &other, &victim));
    let status = node.run(&[lab::AGENT, "status"]).unwrap();
    assert!(status.contains("policy elsewhere/odd is not enforced: all of it"), "{status}");
}
