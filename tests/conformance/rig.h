/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the conformance suites stand on: a provider in a world of its own directory, on a loop of its own, and calls of the contract that
 * wait for their answer, with a bound. A call that breaks the contract (an answer from inside the call, none at all, two) fails the test.
 */

#include <uv.h>

#include "conformance.h"

enum { WAIT_MS_MAX = 120000, LIST_MAX = 64, CHECKS_MAX = 32 };

/* A provider in a world of its own directory. */
struct rig {
    const struct weir_conformance_subject *s;
    char dir[64];
    uv_loop_t loop;
    struct weir_gpu_table *gpus;
    struct weir_provider_env env;
    struct weir_provider *p;
    struct weir_offer on_demand;
    struct weir_offer spot;
    struct weir_offer listed[2]; /* the catalogue of one imitated provider */
};

/* The copy of a result that outlives the callback. */
struct answer {
    bool came;
    int times;
    struct weir_provider_result r;
    struct weir_instance inst[LIST_MAX];
    char next_page[WEIR_INSTANCE_ID_SIZE];
};

/* What a look at the provider found. */
struct look {
    bool came;
    size_t n;
    struct weir_check check[CHECKS_MAX];
};

struct offers_answer {
    bool came;
    struct rig *g;
    size_t n;
    size_t bad;
};

extern const struct weir_conformance_subject *rig_subject; /* cmocka's tests take no other argument */
extern int64_t rig_ahead_us; /* of the monotonic clock that providers see, for what takes long */

void rig_note(void *ctx, const struct weir_provider_result *r);
void rig_run_until(struct rig *g, const bool *flag);
void rig_pause_ms(struct rig *g, uint64_t ms);
void rig_open(struct rig *g, const char *conf_text);
void rig_close(struct rig *g);
struct offers_answer rig_ask_offers(struct rig *g);
struct rig *rig_new(const char *conf_text);
struct weir_launch rig_launch_of(struct rig *g, const char *token, const struct weir_offer *o, int64_t lease_s);
struct answer rig_launch_with(struct rig *g, const char *token, const struct weir_offer *o, int64_t lease_s);
struct answer rig_launch(struct rig *g, const char *token);
struct answer rig_try_describe(struct rig *g, const char *token, const char *id);
struct answer rig_describe(struct rig *g, const char *token, const char *id);
struct answer rig_terminate(struct rig *g, const char *id);
struct answer rig_try_list(struct rig *g, const char *page);
struct answer rig_list(struct rig *g, const char *page);
struct weir_instance rig_await(struct rig *g, const char *id, enum weir_instance_state state, bool reclaimed);
void rig_note_checks(void *ctx, const struct weir_check *check, size_t n);
struct look rig_look(struct rig *g);
void rig_terminate_all(struct rig *g);
void rig_free(struct rig *g);
