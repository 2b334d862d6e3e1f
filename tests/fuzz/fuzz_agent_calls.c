/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What agents say to the broker: a list of calls, [{"call": "join", ...}, {"call": "report", ...}, {"call": "sync", ...}],
 * each given to the deciding thread's code as the API would, over an engine in memory with jobs that wait for a node.
 * Session "@" stands for the live one of the node; {"call": "cancel", "job": 1} cancels, {"call": "break"} submits a job of
 * which no agent can be told. Promises: every call is answered once, a refusal with a text that is one, all else with
 * JSON; the core's invariants hold after each; what cannot be told does not hang.
 */
#include "fuzz.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "broker/agents_priv.h"

enum { CALLS_MAX = 24 };

struct rig {
    struct broker *b;
    struct weir_wall wall;
    struct weir_mono mono;
    struct weir_clock clock;
    struct weir_job_id broken; /* a job whose stored spec cannot be read; 0: none */
};

static struct weir_wall wall_now(void *ctx)
{
    return ((struct rig *)ctx)->wall;
}

static struct weir_mono mono_now(void *ctx)
{
    return ((struct rig *)ctx)->mono;
}

static struct weir_wall fixed_cost(void *ctx, const struct weir_node_spec *spec, struct weir_wall at, struct weir_owned_cost *ret)
{
    (void)ctx;
    (void)spec;
    (void)at;
    *ret = (struct weir_owned_cost){.purchase_micro = 24000 * WEIR_MICRO_PER_UNIT, .life = {INT64_C(35040) * WEIR_US_PER_HOUR},
                                    .tariff_micro_per_kwh = 240000, .pue_milli = 1400, .idle_watts = 300, .busy_watts = 1000};
    return WEIR_WALL_MAX;
}

static struct weir_job_id submit(struct broker *b, const char *spec_json, uint32_t gpus)
{
    struct weir_err err;
    struct weir_job_id id;
    struct weir_engine_submit s = {.name = "one", .spec_json = weir_sv_of(spec_json), .tags_json = WEIR_SV("{}"), .priority = 50, .n_tasks = 1};
    s.project = weir_engine_project(b->engine, WEIR_SV("vision"));
    s.user = weir_engine_user(b->engine, WEIR_SV("ada"));
    s.request.nodes = 1;
    s.request.cpu_milli = 1000;
    s.request.max_duration = weir_dur_s(3600);
    s.request.alternatives = gpus > 0;
    s.request.alternative[0] = (struct weir_gpu_wish){weir_gpu_table_intern(b->gpus, WEIR_SV("A100")), (uint16_t)gpus};
    WEIR_ASSERT(weir_engine_submit(b->engine, &s, &id, &err) == 0);
    return id;
}

static void rig_open(struct rig *r)
{
    struct weir_err err;
    struct broker *b = weir_alloc(sizeof *b);
    r->b = b;
    r->wall.us = INT64_C(1795376546) * WEIR_US_PER_S;
    r->mono.us = WEIR_US_PER_HOUR;
    r->clock = (struct weir_clock){wall_now, mono_now, r};
    b->gpus = weir_gpu_table_new();
    (void)pthread_mutex_init(&b->gpus_lock, NULL);
    (void)pthread_mutex_init(&b->sessions_lock, NULL);
    WEIR_ASSERT(weir_config_parse(&b->config, WEIR_SV(""), "weir.yaml", &err) == 0);
    WEIR_ASSERT(weir_store_mem_open(&b->store, &err) == 0);
    WEIR_ASSERT(uv_loop_init(&b->loop) == 0 && uv_async_init(&b->loop, &b->wake, NULL) == 0);
    struct weir_engine_conf conf = {.store = b->store, .core = b->config->core, .clock = &r->clock, .node_cost = fixed_cost};
    conf.core.gpus = b->gpus;
    WEIR_ASSERT(weir_engine_open(&b->engine, &conf, &err) == 0 && agents_init(b, &err) == 0);
    (void)submit(b, "{\"name\":\"one\",\"run\":\"true\"}", 1);
    (void)submit(b, "{\"name\":\"two\",\"run\":\"true\"}", 0);
}

static void rig_close(struct rig *r)
{
    struct broker *b = r->b;
    agents_free(b);
    weir_engine_free(b->engine);
    weir_store_close(b->store);
    weir_vec_release(&b->finished);
    weir_map_release(&b->session_of_node);
    uv_close((uv_handle_t *)&b->wake, NULL);
    (void)uv_run(&b->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&b->loop);
    weir_config_free(b->config);
    weir_gpu_table_free(b->gpus);
    free(b);
}

/* As the loop does after each turn. */
static void turn(struct broker *b)
{
    struct weir_err err;
    size_t n;
    agents_tick(b);
    WEIR_ASSERT(weir_engine_flush(b->engine, false, &err) == 0);
    const struct weir_order *o = weir_engine_take_orders(b->engine, &n);
    for (size_t i = 0; i < n; i++) {
        if (o[i].effect.kind == WEIR_EFFECT_RUN_START || o[i].effect.kind == WEIR_EFFECT_RUN_STOP) {
            agents_order(b, &o[i]);
        }
    }
    commands_answer_finished(b);
    agents_release(b);
    if (!weir_core_check(weir_engine_core(b->engine), &err)) {
        (void)fprintf(stderr, "%s\n", err.text);
        WEIR_ASSERT(false);
    }
}

/* ---- calls ---- */

static unsigned n_answered;

static void on_done(struct weir_command *cmd)
{
    n_answered++;
    if (cmd->code < 0) {
        WEIR_ASSERT(cmd->err.text[0] != '\0' && weir_utf8_is_text(weir_sv_of(cmd->err.text)));
    } else {
        json_t *v = json_loads(weir_str_cstr(&cmd->reply), 0, NULL);
        WEIR_ASSERT(v != NULL);
        json_decref(v);
    }
    weir_str_release(&cmd->reply);
    free(cmd);
}

static bool is_never_hung_up(const struct weir_command *cmd)
{
    (void)cmd;
    return false;
}

static void fill_in_session(struct broker *b, json_t *body)
{
    struct weir_node_id node = {(uint64_t)json_integer_value(json_object_get(body, "node"))};
    const struct agent *a = agents_find(b, node);
    const char *session = json_string_value(json_object_get(body, "session"));
    if (a != NULL && session != NULL && weir_streq(session, "@")) {
        (void)json_object_set_new(body, "session", json_string(a->session));
    }
}

static void call(struct rig *r, json_t *body)
{
    struct broker *b = r->b;
    const char *name = json_string_value(json_object_get(body, "call"));
    r->wall.us += WEIR_US_PER_S;
    r->mono.us += WEIR_US_PER_S;
    fill_in_session(b, body);
    if (name != NULL && weir_streq(name, "cancel")) {
        struct weir_err err;
        struct weir_event ev = {.kind = WEIR_EVENT_JOB_CANCEL};
        ev.u.job_cancel.job.v = (uint64_t)json_integer_value(json_object_get(body, "job"));
        ev.u.job_cancel.ordinal = WEIR_ORDINAL_ALL;
        (void)weir_engine_event(b->engine, &ev, &err);
        return;
    }
    if (name != NULL && weir_streq(name, "break")) {
        r->broken = r->broken.v == 0 ? submit(b, "not what was checked when it was submitted", 0) : r->broken;
        return;
    }
    struct weir_command *cmd = weir_alloc(sizeof *cmd);
    cmd->reply = WEIR_STR_INIT(1 << 20);
    static const struct weir_identity who;
    cmd->done = on_done;
    cmd->who = &who;
    cmd->u.agent.body = body;
    cmd->u.agent.peer = "127.0.0.1:1";
    cmd->u.agent.is_hung_up = is_never_hung_up;
    cmd->u.agent.token_lease.v = (uint64_t)json_integer_value(json_object_get(body, "token_lease"));
    if (name != NULL && weir_streq(name, "sync")) {
        agents_sync(b, cmd);
    } else if (name != NULL && weir_streq(name, "report")) {
        agents_report(b, cmd);
    } else {
        agents_join(b, cmd);
    }
}

/* What cannot be told to an agent does not hang: it has failed as soon as it was placed on one that is there. */
static void check_unstartable(const struct rig *r)
{
    struct broker *b = r->b;
    struct weir_task_view v;
    if (weir_core_task(weir_engine_core(b->engine), (struct weir_task_id){r->broken, 0}, &v) && v.state == WEIR_TASK_STARTING) {
        const struct agent *a = agents_find(b, v.node);
        WEIR_ASSERT(a != NULL && a->session[0] == '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig r = {0};
    json_t *calls = size > 64 * 1024 ? NULL : json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_array(calls)) {
        json_decref(calls);
        return 0;
    }
    weir_log_setup("fuzz", WEIR_LOG_ERROR);
    rig_open(&r);
    n_answered = 0;
    unsigned n_asked = 0;
    for (size_t i = 0; i < json_array_size(calls) && i < CALLS_MAX; i++) {
        json_t *body = json_array_get(calls, i);
        if (!json_is_object(body)) { /* the API lets only objects through */
            continue;
        }
        const char *name = json_string_value(json_object_get(body, "call"));
        n_asked += name == NULL || (!weir_streq(name, "cancel") && !weir_streq(name, "break"));
        call(&r, body);
        turn(r.b);
        turn(r.b); /* what the first has ended */
        check_unstartable(&r);
    }
    for (size_t i = 0; i < r.b->agents.n; i++) {
        agents_fail_parked(r.b->agents.p[i], -WEIR_EUNAVAIL, "over");
    }
    turn(r.b);
    WEIR_ASSERT(n_answered == n_asked);
    rig_close(&r);
    json_decref(calls);
    return 0;
}
