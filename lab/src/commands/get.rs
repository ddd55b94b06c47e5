//! Objects as tables.

use anyhow::Result;
use jiff::Timestamp;
use lab::{Kind, Node};
use serde_json::Value;

use super::{none_found, pod};
use crate::table::{self, Listed, age, labels_of};

/// `lab get`
pub fn get(node: &Node, kind: Kind, listed: &Listed) -> Result<()> {
    if kind == Kind::Pod {
        return pod::list(node, listed, None);
    }
    let mut objects = node.objects(kind)?;
    let only = listed.only().filter(|_| kind == Kind::NetworkPolicy);
    objects.retain(|it| only.is_none_or(|namespace| it["metadata"]["namespace"] == namespace));
    if objects.is_empty() {
        none_found(only);
        return Ok(());
    }
    let mut columns: Vec<(&str, Vec<String>)> = Vec::new();
    let mut column = |title, cell: &dyn Fn(&Value) -> String| {
        columns.push((title, objects.iter().map(cell).collect()));
    };
    let text = |value: &Value| value.as_str().unwrap_or("<none>").to_string();
    if kind == Kind::NetworkPolicy && only.is_none() {
        column("NAMESPACE", &|it| text(&it["metadata"]["namespace"]));
    }
    column("NAME", &|it| text(&it["metadata"]["name"]));
    if kind == Kind::NetworkPolicy {
        column("POD-SELECTOR", &|it| selector_of(&it["spec"]["podSelector"]));
    } else {
        column("STATUS", &|it| text(&it["status"]["phase"]));
    }
    column("AGE", &|it| age_of(&it["metadata"]["creationTimestamp"]));
    if listed.show_labels {
        let labels = |it: &Value| serde_json::from_value(it["metadata"]["labels"].clone());
        column("LABELS", &|it| labels_of(&labels(it).unwrap_or_default()));
    }
    table::print(&columns);
    Ok(())
}

/// A cell of the column AGE.
fn age_of(created: &Value) -> String {
    let created = created.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let seconds = created.and_then(|created| u64::try_from(created.as_second()).ok());
    seconds.map_or("<unknown>".into(), age)
}

/// A cell of the column POD-SELECTOR.
fn selector_of(selector: &Value) -> String {
    let (labels, expressions) = (&selector["matchLabels"], &selector["matchExpressions"]);
    let mut parts = Vec::new();
    for (key, value) in labels.as_object().into_iter().flatten() {
        parts.push(format!("{key}={}", value.as_str().unwrap_or("<error>")));
    }
    for expression in expressions.as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or("<error>");
        let values = expression["values"].as_array().into_iter().flatten();
        let values: Vec<_> = values.filter_map(Value::as_str).collect();
        let values = values.join(",");
        parts.push(match expression["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("Exists") => key.into(),
            Some("DoesNotExist") => format!("!{key}"),
            _ => "<error>".into(),
        });
    }
    parts.sort();
    if parts.is_empty() { "<none>".into() } else { parts.join(",") }
}
