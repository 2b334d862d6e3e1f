/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Golden traces of the decision core. Each NAME.scn beside this file is a scenario, one event per line
 * (the language is described in README.md); the effects and explain records that follow from it are
 * rendered and compared with NAME.out. With --write the .out files are written anew.
 */

#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/parse.h"
#include "golden/core/scene.h"

enum { SCENARIOS_MAX = 128, OUT_MAX = 1 << 20 };

static const char *folder;
static bool write_anew;

/* ---- arguments: key=value words ---- */

static bool arg(struct weir_sv line, const char *key, struct weir_sv *ret)
{
    size_t n = strlen(key);
    while (line.n > 0) {
        struct weir_sv word = weir_sv_cut(&line, ' ');
        if (word.n > n && memcmp(word.p, key, n) == 0 && word.p[n] == '=') {
            *ret = (struct weir_sv){word.p + n + 1, word.n - n - 1};
            return true;
        }
    }
    return false;
}

static void bad(const struct scene *s, const char *what)
{
    fail_msg("%s.scn:%d: %s", s->name, s->line, what);
}

static int64_t number(struct scene *s, struct weir_sv line, const char *key, int64_t otherwise)
{
    struct weir_sv v;
    int64_t n = 0;
    if (!arg(line, key, &v)) {
        return otherwise;
    }
    if (weir_parse_i64(v, INT32_MIN, INT32_MAX, &n, NULL) < 0) {
        bad(s, key);
    }
    return n;
}

static struct weir_dur span(struct scene *s, struct weir_sv line, const char *key, int64_t otherwise_s)
{
    struct weir_sv v;
    struct weir_dur d = weir_dur_s(otherwise_s);
    if (arg(line, key, &v) && weir_parse_duration(v, &d, NULL) < 0) {
        bad(s, key);
    }
    return d;
}

static int64_t money(struct scene *s, struct weir_sv line, const char *key, int64_t otherwise)
{
    struct weir_sv v;
    int64_t m = otherwise;
    if (arg(line, key, &v) && weir_parse_decimal(v, 6, &m, NULL) < 0) {
        bad(s, key);
    }
    return m;
}

static void text(struct weir_sv line, const char *key, const char *otherwise, char *buf, size_t size)
{
    struct weir_sv v;
    if (!arg(line, key, &v)) {
        v = weir_sv_of(otherwise);
    }
    (void)snprintf(buf, size, "%.*s", WEIR_SV_ARG(v));
}

static bool flag(struct weir_sv line, const char *word)
{
    while (line.n > 0) {
        if (weir_sv_eq(weir_sv_cut(&line, ' '), weir_sv_of(word))) {
            return true;
        }
    }
    return false;
}

/* "A100:8" -> model and count. "any:2" is any model. */
static void gpu_of(struct scene *s, struct weir_sv v, uint16_t *model, uint16_t *count)
{
    struct weir_sv name = weir_sv_cut(&v, ':');
    uint64_t n = 1;
    if (v.p != NULL && weir_parse_u64(v, 1, 32, &n, NULL) < 0) {
        bad(s, "gpu count");
    }
    *count = (uint16_t)n;
    *model = weir_sv_eq(name, WEIR_SV("any")) ? (uint16_t)WEIR_GPU_MODEL_ANY
                                              : weir_gpu_table_intern(s->gpus, name);
}

static void step(struct scene *s, struct weir_event *ev)
{
    struct weir_err err = {""};
    world_step(&s->w, ev);
    if (!weir_core_check(s->w.core, &err)) {
        bad(s, err.text);
    }
    const struct weir_effects *x = &s->w.effects;
    if (ev->kind == WEIR_EVENT_TICK && x->n_effects + x->n_explains > 0) {
        weir_str_adds(&s->out, "  tick at ");
        out_time(s, s->w.now_us);
        weir_str_addc(&s->out, '\n');
    }
    for (size_t i = 0; i < x->n_explains; i++) {
        out_explain(s, &x->explain[i]);
    }
    for (size_t i = 0; i < x->n_effects; i++) {
        out_effect(s, &x->effect[i]);
    }
    for (size_t i = 0; i < x->n_shapes; i++) {
        weir_str_addf(&s->out, "    shape %u is %s\n", x->shape[i],
                      weir_core_is_impossible(s->w.core, x->shape[i]) ? "impossible" : "possible");
    }
}

/* ---- the lines ---- */

static uint64_t first_number(struct scene *s, struct weir_sv *line)
{
    struct weir_sv word = weir_sv_cut(line, ' ');
    uint64_t n = 0;
    if (weir_parse_u64(word, 1, 100000, &n, NULL) < 0) {
        bad(s, "a number is wanted");
    }
    return n;
}

static void request_of(struct scene *s, struct weir_sv line, struct weir_request *r)
{
    struct weir_sv v;
    memset(r, 0, sizeof *r);
    if (arg(line, "gpu", &v)) {
        while (v.n > 0 && r->alternatives < WEIR_ALTERNATIVES_MAX) {
            struct weir_sv one = weir_sv_cut(&v, ',');
            struct weir_gpu_wish *w = &r->alternative[r->alternatives++];
            gpu_of(s, one, &w->model, &w->count);
        }
    }
    r->alternatives_ordered = flag(line, "ordered");
    r->same_zone = flag(line, "same_zone");
    r->market = (uint8_t)(flag(line, "spot")        ? WEIR_MARKET_SPOT
                          : flag(line, "on_demand") ? WEIR_MARKET_ON_DEMAND
                                                    : WEIR_MARKET_AUTO);
    r->local = (uint8_t)(flag(line, "local_only")    ? WEIR_LOCAL_ONLY
                         : flag(line, "local_never") ? WEIR_LOCAL_NEVER
                                                     : WEIR_LOCAL_PREFER);
    r->cpu_milli = (uint32_t)number(s, line, "cpu", 1) * 1000;
    r->mem_mib = (uint64_t)number(s, line, "mem_gib", 0) * 1024;
    r->nodes = (uint32_t)number(s, line, "nodes", 1);
    r->max_duration = span(s, line, "max", 7200);
    r->expected = span(s, line, "expected", 3600);
    r->checkpoint_every = span(s, line, "checkpoint", 0);
    r->checkpoint_grace = span(s, line, "grace", 30);
    r->delay_cost_micro_per_hour = money(s, line, "delay_cost", -1);
    r->max_cost_micro = money(s, line, "max_cost", 0);
    r->retries = (uint32_t)number(s, line, "retries", 0);
    if (arg(line, "region", &v)) {
        r->regions = 1;
        (void)snprintf(r->region[0], sizeof r->region[0], "%.*s", WEIR_SV_ARG(v));
    }
}

/* The event borrows the request. */
static struct weir_event submission_of(struct scene *s, struct weir_sv line, struct weir_request *r)
{
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_SUBMIT};
    request_of(s, line, r);
    ev.u.job_submit.project.v = (uint32_t)number(s, line, "project", 1);
    ev.u.job_submit.priority = (int32_t)number(s, line, "priority", 50);
    ev.u.job_submit.n_tasks = (uint32_t)number(s, line, "tasks", 1);
    ev.u.job_submit.parallel_max = (uint32_t)number(s, line, "parallel", 0);
    int64_t deadline = span(s, line, "deadline", 0).us;
    ev.u.job_submit.deadline.us = deadline == 0 ? 0 : s->w.now_us + deadline;
    ev.u.job_submit.request = r;
    return ev;
}

static void do_submit(struct scene *s, struct weir_sv line)
{
    struct weir_request r;
    struct weir_event ev = submission_of(s, line, &r);
    ev.u.job_submit.job = weir_core_take_job_id(s->w.core);
    step(s, &ev);
}

static void do_node(struct scene *s, struct weir_sv line)
{
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN};
    struct weir_node_spec spec;
    struct weir_sv v;
    memset(&spec, 0, sizeof spec);
    spec.id.v = first_number(s, &line);
    spec.gpu_model = WEIR_GPU_MODEL_ANY;
    if (arg(line, "gpu", &v)) {
        gpu_of(s, v, &spec.gpu_model, &spec.gpus);
        spec.gpu_mem_mib = weir_gpu_table_get(s->gpus, spec.gpu_model)->mem_mib;
    }
    spec.cpu_milli = (uint32_t)number(s, line, "cpu", 64) * 1000;
    spec.mem_mib = (uint64_t)number(s, line, "mem_gib", 256) * 1024;
    spec.fabric = (uint32_t)number(s, line, "fabric", 0);
    spec.pool.v = (uint32_t)number(s, line, "pool", 1);
    text(line, "region", "", spec.region, sizeof spec.region);
    uint8_t link = (uint8_t)number(s, line, "link", 0);
    for (uint8_t i = 0; link > 0 && i < spec.gpus; i++) {
        spec.link_group[i] = (uint8_t)(1 + i / link);
    }
    spec.rates.full_micro_per_hour = money(s, line, "full", 1000000);
    spec.rates.marginal_busy_micro_per_hour = money(s, line, "busy", 100000);
    ev.u.node_join.spec = &spec;
    step(s, &ev);
}

static void do_rates(struct scene *s, struct weir_sv line)
{
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_RATES};
    ev.u.node_rates.node.v = first_number(s, &line);
    ev.u.node_rates.rates.full_micro_per_hour = money(s, line, "full", 1000000);
    ev.u.node_rates.rates.marginal_busy_micro_per_hour = money(s, line, "busy", 100000);
    struct weir_dur late = span(s, line, "late", 0);
    ev.u.node_rates.at.us = late.us == 0 ? 0 : s->w.now_us - late.us;
    step(s, &ev);
}

static void do_offer(struct scene *s, struct weir_sv line)
{
    struct weir_sv v;
    if (s->w.n_offers == WORLD_OFFERS_MAX) {
        bad(s, "too many offers");
    }
    struct weir_offer *o = &s->w.offer[s->w.n_offers++];
    memset(o, 0, sizeof *o);
    o->id = first_number(s, &line);
    text(line, "type", "box", o->instance_type, sizeof o->instance_type);
    text(line, "region", "eu-1", o->region, sizeof o->region);
    text(line, "zone", "", o->zone, sizeof o->zone);
    (void)snprintf(o->provider, sizeof o->provider, "cloud");
    o->gpu_model = WEIR_GPU_MODEL_ANY;
    if (arg(line, "gpu", &v)) {
        gpu_of(s, v, &o->gpu_model, &o->gpus);
        o->gpu_mem_mib = weir_gpu_table_get(s->gpus, o->gpu_model)->mem_mib;
    }
    o->cpu_milli = (uint32_t)number(s, line, "cpu", 64) * 1000;
    o->mem_mib = 512 * 1024;
    o->price_micro_per_hour = money(s, line, "price", 1000000);
    o->expires = WEIR_WALL_MAX;
    o->bill_quantum = span(s, line, "quantum", 1);
    o->bill_minimum = span(s, line, "minimum", 60);
    o->boot_expected = span(s, line, "boot", 120);
    o->reclaim_ppm_per_hour = (uint32_t)number(s, line, "reclaim_ppm", 0);
    o->market = flag(line, "spot") ? WEIR_OFFER_SPOT : WEIR_OFFER_ON_DEMAND;
    o->machines_max = (uint32_t)number(s, line, "reserved", 0);
    o->market = o->machines_max > 0 ? WEIR_OFFER_RESERVED : o->market;
    o->ends.us = arg(line, "ends", &v) ? s->w.now_us + span(s, line, "ends", 0).us : 0;
    o->plan = (uint64_t)number(s, line, "plan", 0);
    o->plan_micro_per_hour = money(s, line, "plan_pays", 0);
    o->launchable = !flag(line, "not_launchable");
}

static void send_offers(struct scene *s)
{
    struct weir_event ev = {.kind = WEIR_EVENT_OFFERS_SET};
    ev.u.offers_set.provider = "cloud";
    ev.u.offers_set.offer = s->w.offer;
    ev.u.offers_set.n = s->w.n_offers;
    step(s, &ev);
}

static struct weir_task_id task_of(struct scene *s, struct weir_sv *line)
{
    struct weir_sv word = weir_sv_cut(line, ' ');
    struct weir_sv job = weir_sv_cut(&word, '.');
    uint64_t id = 0;
    uint64_t ordinal = 0;
    if (weir_parse_u64(job, 1, 100000, &id, NULL) < 0 ||
        (word.p != NULL && weir_parse_u64(word, 0, 100000, &ordinal, NULL) < 0)) {
        bad(s, "a task is wanted, as 3 or 3.1");
    }
    return (struct weir_task_id){{id}, (uint32_t)ordinal};
}

static struct weir_run_id run_of(struct scene *s, struct weir_sv *line)
{
    struct weir_task_view v;
    struct weir_task_id id = task_of(s, line);
    if (!weir_core_task(s->w.core, id, &v)) {
        bad(s, "no such task");
    }
    uint32_t attempt = (uint32_t)number(s, *line, "attempt", v.attempt);
    return (struct weir_run_id){id, attempt};
}

static void do_ended(struct scene *s, struct weir_sv line)
{
    struct weir_event ev = {.kind = WEIR_EVENT_RUN_ENDED};
    struct weir_sv v;
    ev.u.run_ended.run = run_of(s, &line);
    ev.u.run_ended.rank = (uint32_t)number(s, line, "rank", 0);
    ev.u.run_ended.exit_code = (int32_t)number(s, line, "exit", 0);
    ev.u.run_ended.at.us = s->w.now_us;
    ev.u.run_ended.reason = WEIR_REASON_EXIT;
    if (arg(line, "reason", &v)) {
        for (uint8_t r = 1; r < WEIR_REASON_MAX; r++) {
            if (weir_sv_eq(v, weir_sv_of(weir_reason_name((enum weir_reason)r)))) {
                ev.u.run_ended.reason = r;
            }
        }
    }
    step(s, &ev);
}

static void do_run(struct scene *s, struct weir_sv line, enum weir_event_kind kind)
{
    struct weir_event ev = {.kind = kind};
    ev.u.run.run = run_of(s, &line);
    ev.u.run.rank = (uint32_t)number(s, line, "rank", 0);
    ev.u.run.at.us = s->w.now_us;
    step(s, &ev);
}

static void do_lease(struct scene *s, struct weir_sv verb, struct weir_sv line)
{
    struct weir_event ev = {.kind = WEIR_EVENT_LEASE_CONFIRMED};
    struct weir_node_spec came;
    uint64_t id = first_number(s, &line);
    ev.u.lease.lease.v = id;
    ev.u.lease.at.us = s->w.now_us;
    if (weir_sv_eq(verb, WEIR_SV("refuse"))) {
        ev.kind = WEIR_EVENT_LEASE_REFUSED;
        memset(&ev.u, 0, sizeof ev.u);
        ev.u.lease_refused.lease.v = id;
        ev.u.lease_refused.refusal =
            (uint8_t)(flag(line, "quota") ? WEIR_REFUSAL_QUOTA : WEIR_REFUSAL_NO_CAPACITY);
    } else if (weir_sv_eq(verb, WEIR_SV("notice"))) {
        ev.kind = WEIR_EVENT_LEASE_NOTICE;
        ev.u.lease.at.us += span(s, line, "in", 120).us;
    } else if (weir_sv_eq(verb, WEIR_SV("over"))) {
        ev.kind = WEIR_EVENT_LEASE_ENDED;
        ev.u.lease.reclaimed = flag(line, "reclaimed");
        ev.u.lease.at.us = s->w.now_us - span(s, line, "ago", 0).us;
    } else if (weir_sv_eq(verb, WEIR_SV("release"))) {
        ev.kind = WEIR_EVENT_LEASE_RELEASE;
    } else if (weir_sv_eq(verb, WEIR_SV("ready"))) {
        ev.kind = WEIR_EVENT_NODE_JOIN;
        came = s->w.node[s->w.lease[id].node.v].spec;
        struct weir_sv v;
        if (arg(line, "gpu", &v)) { /* other devices than were promised */
            gpu_of(s, v, &came.gpu_model, &came.gpus);
        }
        came.gpu_mem_mib = (uint32_t)number(s, line, "gpu_mem_mib", came.gpu_mem_mib);
        came.cpu_milli = (uint32_t)number(s, line, "cpu", came.cpu_milli / 1000) * 1000;
        ev.u.node_join.spec = &came;
    }
    step(s, &ev);
}

static void do_wait(struct scene *s, struct weir_sv line)
{
    enum { TICKS_MAX = 100000 };
    struct weir_dur d;
    if (weir_parse_duration(line, &d, NULL) < 0) {
        bad(s, "a duration is wanted");
    }
    int64_t until = s->w.now_us + d.us;
    struct weir_event ev = {.kind = WEIR_EVENT_TICK};
    for (int i = 0; i < TICKS_MAX && s->w.effects.wake_at.us <= until; i++) {
        s->w.now_us = s->w.effects.wake_at.us > s->w.now_us ? s->w.effects.wake_at.us : s->w.now_us;
        step(s, &ev);
    }
    s->w.now_us = until;
    step(s, &ev);
}

static void do_show(struct scene *s, struct weir_sv line)
{
    struct weir_task_view v;
    struct weir_task_id id = task_of(s, &line);
    if (!weir_core_task(s->w.core, id, &v)) {
        weir_str_adds(&s->out, "    not known (any more)\n");
        return;
    }
    weir_str_addf(&s->out, "    %s, reason %s, attempt %u, failures %u, losses %u, node %" PRIu64,
                  weir_task_state_name(v.state), weir_reason_name(v.reason), v.attempt, v.failures,
                  v.losses, v.node.v);
    struct weir_hold_view h;
    if (weir_core_hold(s->w.core, v.hold, &h)) {
        weir_str_adds(&s->out, ", held ");
        out_money(s, h.amount_micro);
    }
    struct weir_job_view job;
    if (flag(line, "job") && weir_core_job(s->w.core, id.job, &job)) {
        weir_str_addf(&s->out, ", job %s", weir_job_state_name(job.state));
    }
    weir_str_addc(&s->out, '\n');
}

static void do_possible(struct scene *s, struct weir_sv line)
{
    struct weir_request r;
    struct weir_request nearest;
    struct weir_explain x;
    bool has = false;
    request_of(s, line, &r);
    bool can = weir_core_possible(s->w.core, &r, (struct weir_wall){s->w.now_us}, &x, &nearest, &has);
    weir_str_addf(&s->out, "    %s\n", can ? "possible" : "impossible");
    out_explain(s, &x);
    if (has) {
        const struct weir_gpu_wish *w = &nearest.alternative[0];
        weir_str_addf(&s->out, "    nearest: %u x %s, %u nodes, %u cpus, %" PRIu64 " GiB\n", w->count,
                      w->model == WEIR_GPU_MODEL_ANY ? "any" : weir_gpu_table_get(s->gpus, w->model)->name,
                      nearest.nodes, nearest.cpu_milli / 1000, nearest.mem_mib / 1024);
    }
}

static void do_whatif(struct scene *s, struct weir_sv line)
{
    struct weir_request r;
    struct weir_explain x;
    struct weir_err err = {""};
    struct weir_event ev = submission_of(s, line, &r);
    ev.now.us = s->w.now_us;
    if (!weir_core_what_if(s->w.core, &ev, &x, &err) || !weir_core_check(s->w.core, &err)) {
        bad(s, err.text);
    }
    out_explain(s, &x);
}

static void do_provider_quota(struct scene *s, struct weir_sv line)
{
    static const char *const units[] = {"cores", "gpus", "machines", "mem_mib", NULL};
    struct weir_sv name = weir_sv_cut(&line, ' ');
    char counts[16];
    if (s->n_provider_quotas == PROVIDER_QUOTAS_MAX) {
        bad(s, "too many quotas of the provider");
    }
    struct weir_provider_quota *q = &s->provider_quota[s->n_provider_quotas++];
    memset(q, 0, sizeof *q);
    (void)snprintf(q->name, sizeof q->name, "%.*s", WEIR_SV_ARG(name));
    text(line, "counts", "gpus", counts, sizeof counts);
    while (units[q->unit] != NULL && !weir_streq(counts, units[q->unit])) {
        q->unit++;
    }
    text(line, "region", "", q->region, sizeof q->region);
    text(line, "type", "", q->type[0], sizeof q->type[0]);
    q->n_types = q->type[0][0] != '\0';
    q->markets = (uint8_t)(flag(line, "spot") ? 1u << WEIR_OFFER_SPOT : flag(line, "on_demand") ? 1u << WEIR_OFFER_ON_DEMAND : 0);
    q->limit = number(s, line, "limit", 0);
    q->used = number(s, line, "used", 0);
}

static void send_provider_quotas(struct scene *s)
{
    struct weir_event ev = {.kind = WEIR_EVENT_PROVIDER_QUOTAS_SET};
    ev.u.provider_quotas_set.provider = "cloud";
    ev.u.provider_quotas_set.quota = s->told;
    ev.u.provider_quotas_set.n = s->n_told;
    ev.u.provider_quotas_set.as_of.us = s->told_us;
    step(s, &ev);
}

static void new_provider_quotas(struct scene *s)
{
    memcpy(s->told, s->provider_quota, sizeof s->told);
    s->n_told = s->n_provider_quotas;
    s->told_us = s->w.now_us;
    s->n_provider_quotas = 0;
    send_provider_quotas(s);
}

static void show_provider_quotas(struct scene *s)
{
    struct weir_told_quota told[PROVIDER_QUOTAS_MAX];
    size_t n = weir_core_provider_quotas(s->w.core, told, PROVIDER_QUOTAS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct weir_provider_quota *q = &told[i].quota;
        weir_str_addf(&s->out, "    %s: %" PRId64 " of %" PRId64 " %s\n", q->name, q->used, q->limit, weir_quota_unit_name((enum weir_quota_unit)q->unit));
    }
}

static void do_restore(struct scene *s)
{
    struct weir_core *c = world_restore(&s->w);
    struct weir_err err = {""};
    weir_core_free(s->w.core);
    s->w.core = c;
    if (!weir_core_check(c, &err)) {
        bad(s, err.text);
    }
    if (s->n_told > 0) { /* before there is anything to rent, as the program does */
        send_provider_quotas(s);
    }
    send_offers(s);
}

static void do_conf(struct scene *s, struct weir_sv line)
{
    struct weir_core_conf *k = &s->w.conf;
    k->leases_max = (uint32_t)number(s, line, "leases_max", k->leases_max);
    k->spend_micro_per_hour_max = (int64_t)number(s, line, "spend_max", 0) * WEIR_MICRO_PER_UNIT;
    k->preempt_priority_gap = (uint32_t)number(s, line, "preempt_gap", k->preempt_priority_gap);
    k->age_points_per_hour = (uint32_t)number(s, line, "age_points", k->age_points_per_hour);
    k->retries_lost_max = (uint32_t)number(s, line, "retries_lost", k->retries_lost_max);
    k->capacity_memory = span(s, line, "capacity_memory", k->capacity_memory.us / WEIR_US_PER_S);
    k->spill = !flag(line, "no_spill");
    weir_core_free(s->w.core);
    s->w.core = weir_core_new(k);
}

static bool do_simple(struct scene *s, struct weir_sv verb, struct weir_sv line)
{
    static const struct {
        const char *verb;
        enum weir_event_kind kind;
    } rows[] = {{"lost", WEIR_EVENT_NODE_LOST},
                {"back", WEIR_EVENT_NODE_BACK},
                {"drain", WEIR_EVENT_NODE_DRAIN},
                {"resume", WEIR_EVENT_NODE_RESUME},
                {"gone", WEIR_EVENT_NODE_GONE}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        if (weir_sv_eq(verb, weir_sv_of(rows[i].verb))) {
            struct weir_event ev = {.kind = rows[i].kind};
            ev.u.node.node.v = first_number(s, &line);
            step(s, &ev);
            return true;
        }
    }
    return false;
}

static void do_project(struct scene *s, struct weir_sv line)
{
    struct weir_event ev = {.kind = WEIR_EVENT_PROJECT_SET};
    ev.u.project_set.project.v = (uint32_t)first_number(s, &line);
    ev.u.project_set.weight = (uint32_t)number(s, line, "weight", 100);
    ev.u.project_set.delay_cost_micro_per_hour = money(s, line, "delay_cost", 100000);
    step(s, &ev);
}

/* Whom a budget or quota is for: one project, or everybody. */
static uint8_t scope_of(struct scene *s, struct weir_sv line, struct weir_project_id *ret)
{
    ret->v = (uint32_t)number(s, line, "project", 0);
    return ret->v == 0 ? WEIR_BUDGET_ORGANISATION : WEIR_BUDGET_PROJECT;
}

static void do_budget(struct scene *s, struct weir_sv line)
{
    struct weir_budget b = {.span = WEIR_BUDGET_FOREVER};
    struct weir_sv name = weir_sv_cut(&line, ' ');
    (void)snprintf(b.name, sizeof b.name, "%.*s", WEIR_SV_ARG(name));
    b.scope = scope_of(s, line, &b.project);
    b.cloud_only = flag(line, "cloud_only");
    b.amount_micro = money(s, line, "amount", 0);
    struct weir_event ev = {.kind = WEIR_EVENT_BUDGET_SET, .u.budget_set.budget = &b};
    if (flag(line, "gone")) {
        ev = (struct weir_event){.kind = WEIR_EVENT_BUDGET_REMOVE, .u.budget_remove.name = b.name};
    }
    step(s, &ev);
}

/* In GPUs, machines or tasks, or GPU-minutes. */
static void do_quota(struct scene *s, struct weir_sv line)
{
    struct weir_quota q = {.span = WEIR_BUDGET_FOREVER};
    struct weir_sv name = weir_sv_cut(&line, ' ');
    char counts[32];
    uint16_t n;
    struct weir_sv v;
    (void)snprintf(q.name, sizeof q.name, "%.*s", WEIR_SV_ARG(name));
    text(line, "counts", "gpus", counts, sizeof counts);
    while (q.counts < WEIR_QUOTA_COUNTS_MAX && !weir_streq(counts, weir_quota_counts_name((enum weir_quota_counts)q.counts))) {
        q.counts++;
    }
    q.scope = scope_of(s, line, &q.project);
    q.gpu_model = WEIR_GPU_MODEL_ANY;
    if (arg(line, "gpu", &v)) {
        gpu_of(s, v, &q.gpu_model, &n);
    }
    q.limit = number(s, line, "limit", 0) * (weir_quota_is_timed((enum weir_quota_counts)q.counts) ? 60000 : 1);
    q.shares = arg(line, "borrow", &v);
    q.borrow_max = q.shares && weir_sv_eq(v, weir_sv_of("all")) ? INT64_MAX : number(s, line, "borrow", 0);
    struct weir_event ev = {.kind = WEIR_EVENT_QUOTA_SET, .u.quota_set.quota = &q};
    if (flag(line, "gone")) {
        ev = (struct weir_event){.kind = WEIR_EVENT_QUOTA_REMOVE, .u.quota_remove.name = q.name};
    }
    step(s, &ev);
}

/* Of the last attempt of the task; what has ended and is not charged by then was for nothing. */
static void do_charged(struct scene *s, struct weir_sv line)
{
    struct weir_charged k = {.from = {s->w.now_us - WEIR_US_PER_MIN}, .to = {s->w.now_us}, .micro = money(s, line, "money", 0)};
    k.run.task = task_of(s, &line);
    const struct world_job *j = &s->w.job[k.run.task.job.v];
    k.run.attempt = j->task[k.run.task.ordinal].attempt;
    k.payer = j->view.payer;
    k.lease.v = (uint64_t)number(s, line, "lease", 0);
    struct weir_charged both[2] = {k, k}; /* the use, and on a rented machine its cost */
    both[1].is_cost = true;
    both[1].run = (struct weir_run_id){0};
    struct weir_event ev = {.kind = WEIR_EVENT_CHARGED, .u.charged = {both, k.lease.v == 0 ? 1 : 2}};
    step(s, &ev);
}

static void do_cancel(struct scene *s, struct weir_sv line)
{
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_CANCEL};
    bool one = memchr(line.p, '.', line.n) != NULL;
    struct weir_task_id id = task_of(s, &line);
    ev.u.job_cancel.job = id.job;
    ev.u.job_cancel.ordinal = one ? id.ordinal : WEIR_ORDINAL_ALL;
    step(s, &ev);
}

static void do_expect(struct scene *s, struct weir_sv line)
{
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_EXPECT};
    ev.u.job_expect.job = task_of(s, &line).job;
    if (weir_parse_duration(weir_sv_trim(line), &ev.u.job_expect.expected, NULL) < 0) {
        bad(s, "a duration is wanted");
    }
    step(s, &ev);
}

static void do_explain(struct scene *s, struct weir_sv line)
{
    struct weir_explain x;
    if (weir_core_explain(s->w.core, task_of(s, &line), (struct weir_wall){s->w.now_us}, &x)) {
        out_explain(s, &x);
    } else {
        weir_str_adds(&s->out, "    does not wait\n");
    }
}

static void do_line(struct scene *s, struct weir_sv line)
{
    struct weir_sv rest = line;
    struct weir_sv verb = weir_sv_cut(&rest, ' ');
    const char *v = weir_strndup(verb.p, verb.n);
    if (weir_streq(v, "conf")) {
        do_conf(s, rest);
    } else if (weir_streq(v, "project")) {
        do_project(s, rest);
    } else if (weir_streq(v, "budget")) {
        do_budget(s, rest);
    } else if (weir_streq(v, "quota")) {
        do_quota(s, rest);
    } else if (weir_streq(v, "charged")) {
        do_charged(s, rest);
    } else if (weir_streq(v, "node")) {
        do_node(s, rest);
    } else if (weir_streq(v, "rates")) {
        do_rates(s, rest);
    } else if (weir_streq(v, "offer")) {
        do_offer(s, rest);
    } else if (weir_streq(v, "provider_quota")) {
        do_provider_quota(s, rest);
    } else if (weir_streq(v, "provider_quotas")) {
        new_provider_quotas(s);
    } else if (weir_streq(v, "show_provider_quotas")) {
        show_provider_quotas(s);
    } else if (weir_streq(v, "offers")) {
        send_offers(s);
    } else if (weir_streq(v, "submit")) {
        do_submit(s, rest);
    } else if (weir_streq(v, "cancel")) {
        do_cancel(s, rest);
    } else if (weir_streq(v, "expect")) {
        do_expect(s, rest);
    } else if (weir_streq(v, "started")) {
        do_run(s, rest, WEIR_EVENT_RUN_STARTED);
    } else if (weir_streq(v, "checkpointed")) {
        do_run(s, rest, WEIR_EVENT_RUN_CHECKPOINTED);
    } else if (weir_streq(v, "ended")) {
        do_ended(s, rest);
    } else if (weir_streq(v, "wait")) {
        do_wait(s, rest);
    } else if (weir_streq(v, "show")) {
        do_show(s, rest);
    } else if (weir_streq(v, "explain")) {
        do_explain(s, rest);
    } else if (weir_streq(v, "possible")) {
        do_possible(s, rest);
    } else if (weir_streq(v, "whatif")) {
        do_whatif(s, rest);
    } else if (weir_streq(v, "restore")) {
        do_restore(s);
    } else if (weir_streq(v, "confirm") || weir_streq(v, "ready") || weir_streq(v, "refuse") ||
               weir_streq(v, "notice") || weir_streq(v, "over") || weir_streq(v, "release")) {
        do_lease(s, verb, rest);
    } else if (!do_simple(s, verb, rest)) {
        bad(s, "no such verb");
    }
    free((void *)(uintptr_t)v);
}

/* ---- files ---- */

static char *read_all(const char *name, const char *ending, size_t *ret_n)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s%s", folder, name, ending);
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        return NULL;
    }
    char *p = weir_alloc(OUT_MAX + 1);
    *ret_n = fread(p, 1, OUT_MAX, f);
    (void)fclose(f);
    return p;
}

static void compare(struct scene *s)
{
    size_t n = 0;
    char path[512];
    assert_false(s->out.overflowed);
    if (write_anew) {
        (void)snprintf(path, sizeof path, "%s/%s.out", folder, s->name);
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(weir_str_cstr(&s->out), 1, s->out.n, f), s->out.n);
        assert_int_equal(fclose(f), 0);
        return;
    }
    char *want = read_all(s->name, ".out", &n);
    assert_non_null(want);
    const char *have = weir_str_cstr(&s->out);
    size_t line = 1;
    for (size_t i = 0; i <= n; i++) {
        if (want[i] != have[i]) {
            fail_msg("%s.out:%zu differs; what came is:\n%s", s->name, line, have);
        }
        line += want[i] == '\n';
    }
    free(want);
}

static void scenario(void **state)
{
    struct scene *s = weir_alloc(sizeof *s);
    struct weir_core_conf conf = weir_core_conf_default();
    size_t n = 0;
    s->name = *state;
    s->gpus = weir_gpu_table_new();
    s->out = WEIR_STR_INIT(OUT_MAX);
    conf.gpus = s->gpus;
    world_init(&s->w, &conf);
    s->start_us = s->w.now_us;
    char *all = read_all(s->name, ".scn", &n);
    assert_non_null(all);
    struct weir_sv rest = {all, n};
    while (rest.n > 0) {
        struct weir_sv line = weir_sv_trim(weir_sv_cut(&rest, '\n'));
        s->line++;
        if (line.n == 0) {
            continue;
        }
        weir_str_addf(&s->out, "%.*s\n", WEIR_SV_ARG(line));
        if (line.p[0] != '#') {
            do_line(s, line);
        }
    }
    compare(s);
    free(all);
    weir_str_release(&s->out);
    world_release(&s->w);
    weir_gpu_table_free(s->gpus);
    free(s);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct CMUnitTest *)a)->name, ((const struct CMUnitTest *)b)->name);
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[SCENARIOS_MAX];
    size_t n = 0;
    if (argc < 2) {
        (void)fprintf(stderr, "usage: golden_core FOLDER [--write]\n");
        return 2;
    }
    folder = argv[1];
    write_anew = argc > 2 && weir_streq(argv[2], "--write");
    DIR *d = opendir(folder);
    if (d == NULL) {
        (void)fprintf(stderr, "golden_core: cannot read folder '%s'\n", folder);
        return 2;
    }
    for (const struct dirent *e = readdir(d); e != NULL && n < SCENARIOS_MAX; e = readdir(d)) {
        size_t len = strlen(e->d_name);
        if (len > 4 && weir_streq(e->d_name + len - 4, ".scn")) {
            char *name = weir_strndup(e->d_name, len - 4);
            tests[n++] = (struct CMUnitTest){name, scenario, NULL, NULL, name};
        }
    }
    (void)closedir(d);
    qsort(tests, n, sizeof tests[0], by_name);
    int r = _cmocka_run_group_tests("golden-core", tests, n, NULL, NULL);
    for (size_t i = 0; i < n; i++) {
        free((void *)(uintptr_t)tests[i].name);
    }
    return r;
}
