/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What each provider says it has against what the leases say: the proof that nothing is leaked, for people. The sweep of leases.c
 * brings the provider's side and ends what nobody owns; this file keeps the last complete one and compares. And the end of
 * everything: renting is switched off, and every machine is ended whether or not something runs there.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "broker_priv.h"

void audit_begin(struct provider *p)
{
    weir_vec_clear(&p->sweep_part.row);
    p->sweep_wanted = false;
}

void audit_add(struct provider *p, const struct weir_instance *i, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        if (i[k].state != WEIR_INSTANCE_GONE) {
            struct sweep_row row = {.state = (uint8_t)i[k].state};
            memcpy(row.instance, i[k].id, sizeof row.instance);
            memcpy(row.token, i[k].token, sizeof row.token);
            weir_vec_push(&p->sweep_part.row, row);
        }
    }
}

void audit_end(struct broker *b, struct provider *p, const char *failure)
{
    if (failure != NULL) {
        (void)snprintf(p->sweep.text, sizeof p->sweep.text, "%s", failure);
        return;
    }
    struct sweep last = p->sweep;
    p->sweep = p->sweep_part;
    p->sweep.at = weir_clock_wall(&weir_clock_os);
    p->sweep.text[0] = '\0';
    p->sweep_part = last;
    broker_wake(b);
}

/* ---- the comparison ---- */

static bool write_machines(struct broker *b, const struct provider *p, struct weir_json *j)
{
    static const char *const states[WEIR_INSTANCE_STATE_MAX] = {[WEIR_INSTANCE_PENDING] = "pending", [WEIR_INSTANCE_RUNNING] = "running",
                                                                [WEIR_INSTANCE_STOPPING] = "stopping", [WEIR_INSTANCE_GONE] = "gone"};
    bool clean = true;
    weir_json_key(j, "machines");
    weir_json_array(j);
    for (size_t i = 0; i < p->sweep.row.n; i++) {
        const struct sweep_row *row = &p->sweep.row.p[i];
        const struct lease_watch *w = leases_owner(b, row->token);
        bool ending = row->state == WEIR_INSTANCE_STOPPING || (w != NULL && w->want_end);
        const char *verdict = ending ? "ending" : w != NULL ? "owned" : "orphan";
        clean = clean && !weir_streq(verdict, "orphan");
        weir_json_object(j);
        weir_json_kv_cstr(j, "instance", row->instance);
        weir_json_kv_cstr(j, "state", states[row->state]);
        weir_json_kv_id(j, "lease", w != NULL ? w->lease.v : 0);
        weir_json_kv_cstr(j, "verdict", verdict);
        weir_json_end(j);
    }
    weir_json_end(j);
    return clean;
}

static bool is_listed(const struct provider *p, const char *instance)
{
    for (size_t i = 0; i < p->sweep.row.n; i++) {
        if (weir_streq(p->sweep.row.p[i].instance, instance)) {
            return true;
        }
    }
    return false;
}

/* Leases whose machine the provider should have listed and did not. */
static bool write_missing(struct broker *b, const struct provider *p, struct weir_json *j)
{
    bool clean = true;
    weir_json_key(j, "missing");
    weir_json_array(j);
    for (size_t i = 0; i < b->leases.n; i++) {
        const struct lease_watch *w = &b->leases.p[i];
        struct weir_lease_view v;
        struct weir_lease_note note = {{0}};
        bool live = w->provider == p && w->confirmed && !w->want_end && w->step != LEASE_STEP_DONE && w->step != LEASE_STEP_PRICES;
        if (!live || !weir_core_lease(weir_engine_core(b->engine), w->lease, &v) ||
            weir_wall_add(weir_engine_outside(b->engine, v.confirmed_at), p->ops->visible_within).us >= p->sweep.at.us) {
            continue;
        }
        (void)weir_engine_lease_get_note(b->engine, w->lease, &note);
        if (!is_listed(p, note.instance)) {
            clean = false;
            weir_json_object(j);
            weir_json_kv_id(j, "lease", w->lease.v);
            weir_json_kv_cstr(j, "instance", note.instance);
            weir_json_end(j);
        }
    }
    weir_json_end(j);
    return clean;
}

void leases_audit(struct broker *b, struct weir_str *out)
{
    struct weir_json j = weir_json_begin(out);
    bool clean = true;
    bool busy = false;
    weir_json_object(&j);
    weir_json_key(&j, "providers");
    weir_json_array(&j);
    for (size_t i = 0; i < b->n_providers; i++) {
        const struct provider *p = &b->provider[i];
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "provider", p->ops->name);
        weir_json_kv_time(&j, "listed", p->sweep.at);
        weir_json_kv_bool(&j, "busy", p->sweep_busy || p->sweep_wanted);
        weir_json_kv_cstr(&j, "text", p->sweep.text);
        bool machines = write_machines(b, p, &j);
        bool missing = write_missing(b, p, &j);
        weir_json_end(&j);
        busy = busy || p->sweep_busy || p->sweep_wanted;
        clean = clean && machines && missing && p->sweep.at.us != 0 && p->sweep.text[0] == '\0';
    }
    weir_json_end(&j);
    size_t live = 0;
    for (size_t i = 0; i < b->leases.n; i++) {
        live += b->leases.p[i].step != LEASE_STEP_DONE ? 1 : 0;
    }
    weir_json_kv_u64(&j, "leases", live);
    weir_json_kv_bool(&j, "clean", clean);
    weir_json_kv_bool(&j, "busy", busy);
    weir_json_kv_bool(&j, "renting", !b->renting_off);
    weir_json_end(&j);
}

void leases_look(struct broker *b)
{
    for (size_t i = 0; i < b->n_providers; i++) {
        b->provider[i].sweep_wanted = true;
    }
    broker_wake(b);
}

/* ---- down and up ---- */

/* Without offers nothing can be rented. */
static void withdraw_offers(struct broker *b, struct provider *p)
{
    struct weir_err err;
    struct weir_event ev = {.kind = WEIR_EVENT_OFFERS_SET};
    ev.u.offers_set.provider = p->ops->name;
    weir_vec_clear(&p->offers);
    p->offers_known = false;
    if (weir_engine_event(b->engine, &ev, &err) != 0) {
        weir_log(WEIR_LOG_ERROR, "lease.down", "provider=%s text=\"%s\"", p->ops->name, err.text);
    }
}

static bool mark_path(const struct broker *b, char *ret, size_t size)
{
    int n = snprintf(ret, size, "%s/renting-off", b->data_dir);
    return n > 0 && (size_t)n < size;
}

/* A file of the data directory says so, that it holds over a restart. */
static int mark_renting(struct broker *b, bool on, struct weir_err *err)
{
    char path[PATH_MAX];
    if (!mark_path(b, path, sizeof path)) {
        return weir_fail(err, -WEIR_ELIMIT, "the path of the data directory is too long");
    }
    if (on) {
        return unlink(path) == 0 || errno == ENOENT ? 0 : weir_fail(err, -WEIR_EIO, "%s: %s", path, strerror(errno));
    }
    WEIR_CLEANUP(weir_closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    return fd >= 0 && fsync(fd) == 0 ? 0 : weir_fail(err, -WEIR_EIO, "%s: %s", path, strerror(errno));
}

void leases_restore_renting(struct broker *b)
{
    char path[PATH_MAX];
    b->renting_off = mark_path(b, path, sizeof path) && access(path, F_OK) == 0;
}

int leases_set_renting(struct broker *b, bool on, struct weir_err *err)
{
    int r = mark_renting(b, on, err);
    if (r != 0) {
        return r;
    }
    b->renting_off = !on;
    for (size_t i = 0; i < b->n_providers; i++) {
        if (!on) {
            withdraw_offers(b, &b->provider[i]);
        }
        b->provider[i].offers_due_ms = 0;
    }
    broker_wake(b);
    return 0;
}

int leases_down(struct broker *b, struct weir_err *err)
{
    int r = leases_set_renting(b, false, err);
    for (size_t i = 0; r == 0 && i < b->leases.n; i++) {
        struct lease_watch *w = &b->leases.p[i];
        struct weir_err why;
        struct weir_event ev = {.kind = WEIR_EVENT_LEASE_RELEASE};
        if (w->step == LEASE_STEP_DONE) {
            continue;
        }
        w->want_end = true;
        w->due_ms = 0;
        w->tries = 0;
        w->step = w->step == LEASE_STEP_WATCH ? LEASE_STEP_TERMINATE : w->step;
        ev.u.lease.lease = w->lease;
        if (weir_engine_event(b->engine, &ev, &why) != 0) {
            weir_log(WEIR_LOG_WARNING, "lease.down", "lease=%llu text=\"%s\"", (unsigned long long)w->lease.v, why.text);
        }
    }
    leases_look(b);
    return r;
}
