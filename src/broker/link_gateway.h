/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The gateway of the link to rented machines, as `wg` shows and sets it. Blocks while programs run: for a thread of its own. Whose a peer is
 * follows from the gateway alone: one of ours has a preshared key that only this broker can make of its public key.
 */

#include <stdatomic.h>

#include "base/clock.h"
#include "base/vec.h"
#include "config.h"
#include "core/id.h"

enum { LINK_KEY_SIZE = 45, LINK_ADDRESS_SIZE = WEIR_NET_SIZE };

/* What belongs to one lease. */
struct link_keys {
    char private_key[LINK_KEY_SIZE];
    char public_key[LINK_KEY_SIZE];
    char preshared_key[LINK_KEY_SIZE];
    char address[LINK_ADDRESS_SIZE]; /* "10.77.0.9/32" */
};

/* They follow from the secret and the lease's number alone. weir_gnutls_init and weir_x25519_init must have returned 0. */
void link_keys_of(const struct weir_config_link *conf, struct weir_sv secret, struct weir_lease_id lease, struct link_keys *ret);

/* The address alone. */
void link_address_of(const struct weir_net *n, struct weir_lease_id lease, char ret[static LINK_ADDRESS_SIZE]);

struct link_peer {
    struct weir_lease_id lease;
    bool is_there; /* the gateway has it */
    bool is_taken; /* another peer has its address: it cannot have it */
};

struct gateway {
    const struct weir_config_link *conf;
    const struct weir_clock *clock;
    struct weir_sv secret;
    const atomic_bool *stop;      /* set: give up soon */
    WEIR_VEC(struct link_peer) peers; /* that are to be there, in order of lease; what came of it */
    char public_key[LINK_KEY_SIZE];   /* the gateway's */
    uint32_t added;
    uint32_t removed;
    struct weir_err err;
    char remedy[256];
};

/* Makes the peers of ours that the gateway has equal to g->peers. Those of others are left alone. Errors: what is the matter is in g->err, and
 * what to do in g->remedy; what could be done was done. */
int gateway_settle(struct gateway *g);
