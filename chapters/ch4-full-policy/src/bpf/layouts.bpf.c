/* A variable of each type that the agent reads too. It is never loaded: a test compares its BTF with
 * the agent's view, src/maps.rs. */
#include "conntrack.h"
#include "events.h"
#include "maps.h"

struct block_key block_key;
struct ct_entry ct_entry;
struct ct_key ct_key;
struct endpoint_entry endpoint_entry;
struct event event;
struct policy_entry policy_entry;
struct policy_key policy_key;
struct port_key port_key;
