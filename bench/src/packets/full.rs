//! Packets that only chapter 4 lets through: by blocks, and from a pod that is isolated for egress.

use anyhow::Result;
use ch3_identity_policy::maps::PolicyKey;

use super::cases::{Case, Mode};
use super::maps::{ISOLATED, SERVER, WORLD};
use super::scene::{Hook, Place, Scene, open_all, pinned};
use crate::frames::{ACK, SYN, tcp};

/// By this entry the isolated pod gets into the server.
const TO_SERVER: PolicyKey = PolicyKey { src_id: ISOLATED, dst_id: SERVER };

/// The cases, with their connections made; `ports`: not all are allowed.
pub fn cases(scene: &Scene, ports: bool) -> Result<Vec<Case>> {
    let [client, server, _, isolated, guarded] = scene.places;
    let program = pinned("to-node")?;
    // The bridge's number it reads of fragments alone.
    let to_node =
        |sender: Place| Hook { name: "to_node", program: program.clone(), meta: sender.sent(1) };
    let packet = |from, to, flags| tcp((from, 40_000), (to, 80), flags);
    let answer = |from, to| tcp((from, 80), (to, 40_000), ACK);
    let (to_server, to_world, to_guarded) = (
        |flags| packet(isolated.address, server.address, flags),
        |flags| packet(isolated.address, WORLD, flags),
        |flags| packet(WORLD, guarded.address, flags),
    );
    let other_port = tcp((client.address, 40_000), (server.address, 81), ACK);
    open_all([
        (scene.from(isolated), to_server(SYN)),
        (scene.to(server, isolated), to_server(SYN)),
        (scene.from(server), answer(server.address, isolated.address)),
        (scene.to(isolated, server), answer(server.address, isolated.address)),
        (scene.from(isolated), to_world(SYN)),
        (to_node(isolated), to_world(SYN)),
        (scene.to_from_outside(isolated), answer(WORLD, isolated.address)),
        (scene.to_from_outside(guarded), to_guarded(SYN)),
        (scene.from(guarded), answer(guarded.address, WORLD)),
    ])?;
    let servers_answer = answer(server.address, isolated.address);
    let another_port = Case::new("another port", &scene.to(server, client), other_port);
    let mut cases = vec![
        Case::new("known, of an isolated pod", &scene.from(isolated), to_server(ACK)),
        Case::new("known, of an isolated pod", &scene.to(server, isolated), to_server(ACK))
            .counts(TO_SERVER),
        Case::new("answer to an isolated pod", &scene.from(server), servers_answer.clone()),
        Case::new("answer to an isolated pod", &scene.to(isolated, server), servers_answer),
        Case::new("to a block", &scene.from(isolated), to_world(ACK)),
        Case::new("to a block", &to_node(isolated), to_world(ACK)).alone(),
        Case::new(
            "the block's answer",
            &scene.to_from_outside(isolated),
            answer(WORLD, isolated.address),
        ),
        Case::new("known, from a block", &scene.to_from_outside(guarded), to_guarded(ACK)),
        Case::new("answer to a block", &scene.from(guarded), answer(guarded.address, WORLD)),
        Case::new("not undecided", &to_node(client), packet(client.address, WORLD, ACK)),
    ];
    cases.extend(ports.then(|| another_port.denied(Mode::InARow)));
    Ok(cases)
}
