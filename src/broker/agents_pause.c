/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Hosts that cannot start tasks, for want of disk or processes. Every start there fails at once, so that the node is free
 * again at once and draws the next task: it is drained for a while instead. The reason is kept in the node's detail ("unfit"),
 * where the API shows it and the next broker finds it.
 */

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "agents_priv.h"
#include "base/log.h"

enum { PAUSE_MS_MIN = 1000, PAUSE_MS_MAX = 300000 };

static const char unfit[] = "unfit";

static void drain_event(struct broker *b, const struct agent *a, enum weir_event_kind kind)
{
    struct weir_err err;
    struct weir_event ev = {.kind = kind};
    ev.u.node.node = a->node;
    if (weir_engine_event(b->engine, &ev, &err) != 0) {
        weir_log(WEIR_LOG_ERROR, "agent.pause", "node=%" PRIu64 " text=\"%s\"", a->node.v, err.text);
    }
    broker_wake(b);
}

static bool is_draining(const struct broker *b, const struct agent *a)
{
    struct weir_node_view v;
    return weir_core_node(weir_engine_core(b->engine), a->node, &v) && v.state == WEIR_NODE_DRAINING;
}

static json_t *detail_of(const struct broker *b, const struct agent *a)
{
    const char *text = weir_engine_node_detail(b->engine, a->node);
    json_t *detail = text == NULL ? NULL : json_loads(text, 0, NULL);
    return detail == NULL ? json_object() : detail;
}

/* Writes why the node takes nothing; NULL: it does. */
static void set_why(struct broker *b, const struct agent *a, const char *why)
{
    json_t *detail = detail_of(b, a);
    if (why == NULL) {
        (void)json_object_del(detail, unfit);
    } else {
        (void)json_object_set_new(detail, unfit, json_string(why));
    }
    char *text = json_dumps(detail, JSON_COMPACT);
    weir_engine_node_note(b->engine, a->node, &(struct weir_node_note){.detail_json = text});
    free(text);
    json_decref(detail);
}

void agents_pause(struct broker *b, struct agent *a, const char *why)
{
    struct weir_node_view v;
    if (a->paused_until_ms != 0 || !weir_core_node(weir_engine_core(b->engine), a->node, &v) || v.state != WEIR_NODE_UP) {
        return;
    }
    uint64_t ms = PAUSE_MS_MIN;
    for (uint32_t i = 0; i < a->host_failures && ms < PAUSE_MS_MAX; i++) {
        ms *= 2;
    }
    ms = ms > PAUSE_MS_MAX ? PAUSE_MS_MAX : ms;
    a->host_failures++;
    a->paused_until_ms = broker_ms(b) + ms;
    weir_log(WEIR_LOG_WARNING, "node.unfit", "node=%" PRIu64 " pause_ms=%" PRIu64 " text=\"%s\"", a->node.v, ms, why);
    set_why(b, a, why);
    drain_event(b, a, WEIR_EVENT_NODE_DRAIN);
}

void agents_pause_forget(struct agent *a)
{
    if (a->paused_until_ms == 0) {
        a->host_failures = 0;
    }
}

/* The core may have ended the lease of a rented one for it; a person may have resumed the node. */
void agents_pause_tick(struct broker *b, struct agent *a)
{
    if (a->paused_until_ms == 0 || a->lease.v != 0 || a->lost || a->session[0] == '\0' || broker_ms(b) < a->paused_until_ms) {
        return;
    }
    agents_pause_end(b, a->node);
    if (is_draining(b, a)) {
        drain_event(b, a, WEIR_EVENT_NODE_RESUME);
    }
}

void agents_pause_end(struct broker *b, struct weir_node_id node)
{
    struct agent *a = agents_find(b, node);
    if (a != NULL && a->paused_until_ms != 0) {
        a->paused_until_ms = 0;
        set_why(b, a, NULL);
    }
}

void agents_pause_restore(struct broker *b, struct agent *a)
{
    json_t *detail = detail_of(b, a);
    if (is_draining(b, a) && json_object_get(detail, unfit) != NULL) {
        a->host_failures = 1;
        a->paused_until_ms = broker_ms(b) + PAUSE_MS_MIN;
    }
    json_decref(detail);
}

char *agents_pause_detail(struct broker *b, const struct agent *a, json_t *hardware)
{
    json_t *detail = json_is_object(hardware) ? json_copy(hardware) : json_object();
    json_t *was = detail_of(b, a);
    json_t *why = json_object_get(was, unfit);
    if (why == NULL || a->paused_until_ms == 0) {
        (void)json_object_del(detail, unfit); /* it is not the agent's to say */
    } else {
        (void)json_object_set(detail, unfit, why);
    }
    char *text = json_dumps(detail, JSON_COMPACT);
    json_decref(was);
    json_decref(detail);
    return text;
}
