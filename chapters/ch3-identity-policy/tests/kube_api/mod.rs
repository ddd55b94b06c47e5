//! An API server of our own, which does as it is told. What it knows are the lab's objects.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use lab::{Kind, Node};
use serde_json::{Value, json};

use crate::scene::eventually;

const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
clusters: [{ name: lab, cluster: { server: 'http://127.0.0.1:6443' } }]
contexts: [{ name: lab, context: { cluster: lab, user: lab } }]
current-context: lab
users: [{ name: lab, user: {} }]
";

/// Lists and watches, no more.
pub struct ApiServer {
    pub node: Node,
    /// It answers at all.
    pub is_there: AtomicBool,
    /// It has got as far as listing policies.
    pub knows_policies: AtomicBool,
    /// What the lab has not, by kind: `services`.
    pub others: Mutex<BTreeMap<String, Vec<Value>>>,
    /// Watches that are open.
    watches: Mutex<Vec<TcpStream>>,
}

impl ApiServer {
    /// Serves the node's objects until the process ends.
    pub fn start(node: Node) -> Arc<Self> {
        let listener = node.enter(|| TcpListener::bind("127.0.0.1:6443").unwrap()).unwrap();
        let server = Arc::new(Self {
            node,
            is_there: true.into(),
            knows_policies: true.into(),
            others: Mutex::default(),
            watches: Mutex::default(),
        });
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
        let (path, _) = request.split_once('?').unwrap();
        let kind = path.rsplit('/').next().unwrap();
        if kind == "networkpolicies" && !self.knows_policies.load(Ordering::SeqCst) {
            // As while its ClusterRole is not there.
            return write!(connection, "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n");
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
        write!(connection, "{head}")?;
        if request.contains("watch=true") {
            self.watches.lock().unwrap().push(connection);
            return Ok(());
        }
        let items = match kind.parse::<Kind>() {
            Ok(kind) => self.node.objects(kind).unwrap(),
            Err(_) => self.others.lock().unwrap()[kind].clone(),
        };
        let list = json!({
            "kind": "List", "metadata": { "resourceVersion": "1" }, "items": items
        });
        write!(connection, "{list}")
    }

    /// No answer any more; what is open ends.
    pub fn goes_away(&self) {
        self.is_there.store(false, Ordering::SeqCst);
        self.watches.lock().unwrap().clear();
    }

    /// It is back, and does not remember what it has told to whom (HTTP 410, "Gone").
    pub fn comes_back(&self) {
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
    pub fn start_agent(&self) {
        self.node.sh(&format!("cat >/run/lab/kubeconfig <<'END'\n{KUBECONFIG}\nEND")).unwrap();
        let agent = format!("{} run --node {}", lab::AGENT, self.node.name());
        let run = "KUBECONFIG=/run/lab/kubeconfig setsid -f";
        self.node.sh(&format!("{run} {agent} >/run/lab/agent.log 2>&1 </dev/null")).unwrap();
        eventually("it runs", || self.node.agent_pid().is_some());
    }
}
