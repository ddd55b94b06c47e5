//! What kube-proxy would make of these Services and slices.

use super::*;

const SERVICES: &str = "
{apiVersion: v1, kind: Service, metadata: {name: dns}, spec: {clusterIP: 10.96.0.10, ports: [
  {name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}, {name: metrics, port: 9153}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: dns, namespace: other}, spec: {clusterIP: 10.96.0.11,
  ports: [{port: 53, protocol: UDP}]}}
---
{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: another}, spec: 5}
---
{apiVersion: v1, kind: Pod, metadata: {name: Service}, spec: {nodeName: EndpointSlice}}
";

/// A slice of `dns` with these ports and endpoints.
fn slice(name: &str, head: &str, ports: &str, endpoints: &str) -> String {
    format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, {head}, ports: [{ports}],
           endpoints: [{endpoints}], metadata: {{name: {name}, labels: {{{SERVICE_NAME}: dns}}}}}}"
    )
}

fn ask(address: &str, manifests: &Path) -> Result<Vec<(String, String, Vec<String>)>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = runtime.block_on(translations(address.parse().unwrap(), Some(manifests)))?;
    let parts = |it: Translation| (it.service, it.port, it.backends.into_iter().collect());
    Ok(found.into_iter().map(parts).collect())
}

#[test]
fn what_is_behind_an_address_is_what_its_own_slices_say_is_ready() {
    let directory = std::env::temp_dir().join(format!("services-{}", std::process::id()));
    fs::create_dir(&directory).unwrap();
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    write("services.yaml", SERVICES);
    write("broken.yaml", "kind: Service: {");
    write(".hidden.yaml", SERVICES);
    let ports = "{name: dns, port: 5353, protocol: UDP}, {name: dns-tcp, port: 5354}";
    let first = slice(
        "first",
        "addressType: IPv4",
        ports,
        "{addresses: [10.13.0.2], conditions: {ready: true}},
         {addresses: [10.13.0.3, 10.13.0.4]},
         {addresses: [10.13.0.5], conditions: {ready: false, serving: true}}",
    );
    write("first.yaml", &first);
    // Other pods of the same Service may have another number; one of them is in both.
    let second = "{name: dns, port: 53, protocol: UDP}, {name: dns, port: 54}";
    let both = "{addresses: [10.13.0.6]}, {addresses: [10.13.0.2]}";
    write("second.yaml", &slice("second", "addressType: IPv4", second, both));
    for (name, old, new) in [
        ("a.yaml", "IPv4", "IPv6"),
        ("b.yaml", "name: first", "name: first, namespace: third"),
        ("c.yaml", ": dns}", ": dns2}"),
    ] {
        assert!(first.contains(old));
        write(name, &first.replace("10.13.0.", "10.99.0.").replace(old, new));
    }
    let dns = |port: &str, backends: &[&str]| {
        let backends = backends.iter().map(ToString::to_string).collect();
        ("default/dns".to_string(), port.to_string(), backends)
    };
    let udp = ["10.13.0.2:53/UDP", "10.13.0.2:5353/UDP", "10.13.0.3:5353/UDP", "10.13.0.6:53/UDP"];
    let tcp = ["10.13.0.2:5354/TCP", "10.13.0.3:5354/TCP"];
    let all = vec![dns("53/UDP", &udp), dns("53/TCP", &tcp), dns("9153/TCP", &[])];
    assert_eq!(ask("10.96.0.10", &directory).unwrap(), all);
    let other = vec![("other/dns".to_string(), "53/UDP".to_string(), Vec::new())];
    assert_eq!(ask("10.96.0.11", &directory).unwrap(), other);
    assert_eq!(ask("10.96.0.1", &directory).unwrap(), Vec::new());

    write("odd.yaml", "{apiVersion: v1, kind: Service, metadata: {name: odd}, spec: {ports: [5]}}");
    let error = format!("{:#}", ask("10.96.0.10", &directory).unwrap_err());
    assert!(error.contains("odd.yaml: Service \"odd\": spec.ports[0]: "), "{error}");
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn an_address_is_a_services_if_kube_proxy_translates_it() {
    for (service, is_its) in [
        ("spec: {clusterIP: 10.96.0.10}", true),
        ("spec: {clusterIP: 10.96.0.1}", false),
        ("spec: {clusterIP: 'fd00::1', clusterIPs: ['fd00::1', 10.96.0.10]}", true),
        ("spec: {clusterIP: None}", false),
        ("spec: {clusterIP: 10.96.0.1, externalIPs: [10.96.0.1, 10.96.0.10]}", true),
        ("status: {loadBalancer: {ingress: [{ip: 10.96.0.10}]}}", true),
        ("status: {loadBalancer: {ingress: [{ip: 10.96.0.10, ipMode: VIP}]}}", true),
        ("status: {loadBalancer: {ingress: [{ip: 10.96.0.10, ipMode: Proxy}]}}", false),
        ("status: {loadBalancer: {}}", false),
    ] {
        let text = format!("{{metadata: {{name: s}}, {service}}}");
        let it: Service = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(has(&it, "10.96.0.10"), is_its, "{service}");
    }
}
