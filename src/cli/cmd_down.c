/* SPDX-License-Identifier: Apache-2.0 */

/* weir leases --audit and weir down: what providers have against what leases say, and the end of all of it. */

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "command.h"
#include "jobs.h"
#include "output.h"

enum { LOOK_MS = 300, LOOK_S_MAX = 120, DOWN_S = 900 };

const struct weir_opt weir_opts_down[] = {
    {"all", 0, WEIR_OPT_FLAG, .help = "end every rented machine, whatever runs there, and rent nothing any more"},
    {"resume", 0, WEIR_OPT_FLAG, .help = "let machines be rented again"},
    {"timeout", 0, WEIR_OPT_DURATION, .arg = "TIME", .help = "how long to wait for the providers' word (default 15m)"},
    {0},
};

static int64_t now_s(void)
{
    return weir_clock_mono(&weir_clock_os).us / WEIR_US_PER_S;
}

/* Has the providers asked anew, and gives what they said. */
static int fresh_audit(struct weir_client *api, json_t **ret, struct weir_err *err)
{
    int64_t end = now_s() + LOOK_S_MAX;
    json_t *audit = NULL;
    int r = weir_client_call(api, "POST", "/v1/leases/audit", NULL, &audit, err);
    while (r == 0 && weir_get_bool(audit, "busy") && now_s() < end) {
        json_decref(audit);
        audit = NULL;
        weir_pause((struct weir_dur){LOOK_MS * WEIR_US_PER_MS});
        r = weir_client_call(api, "GET", "/v1/leases/audit", NULL, &audit, err);
    }
    if (r == 0 && weir_get_bool(audit, "busy")) {
        json_decref(audit);
        return weir_fail(err, -WEIR_ETIMEOUT, "the providers did not answer within %d s: the broker's log says why", LOOK_S_MAX);
    }
    *ret = audit;
    return r;
}

static size_t machines(const json_t *audit)
{
    size_t n = 0;
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(audit, "providers"), i, p)
    {
        n += json_array_size(json_object_get(p, "machines"));
    }
    return n;
}

/* Why the provider could not be asked the last time; NULL: it was. */
static const char *unasked(const json_t *provider)
{
    const char *text = weir_get_text(provider, "text");
    return text == NULL || text[0] == '\0' ? NULL : text;
}

static void add_unasked(const json_t *audit, struct weir_str *s)
{
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(audit, "providers"), i, p)
    {
        if (unasked(p) != NULL) {
            weir_str_addf(s, "%s%s could not be asked (%s)", s->n > 0 ? "; " : "", weir_get_text(p, "provider"), unasked(p));
        }
    }
}

static void show_provider(const json_t *p)
{
    char when[WEIR_RFC3339_SIZE] = "never";
    struct weir_wall listed = weir_get_time(p, "listed");
    const json_t *rows = json_object_get(p, "machines");
    const json_t *missing = json_object_get(p, "missing");
    if (listed.us != 0) {
        (void)weir_wall_format(listed, when);
    }
    (void)printf("%s: listed %s", weir_get_text(p, "provider"), when);
    if (listed.us != 0) {
        (void)printf(", %zu machines", json_array_size(rows));
    }
    (void)printf("\n");
    if (unasked(p) != NULL) {
        (void)printf("  could not be asked: %s\n", unasked(p));
    }
    size_t i;
    json_t *o;
    json_array_foreach(rows, i, o)
    {
        int64_t lease = weir_get_i64(o, "lease", 0);
        (void)printf("  %-40s %-9s %s", weir_get_text(o, "instance"), weir_get_text(o, "state"), weir_get_text(o, "verdict"));
        (void)printf(lease != 0 ? ", lease %" PRId64 "\n" : "\n", lease);
    }
    json_array_foreach(missing, i, o)
    {
        (void)printf("  lease %" PRId64 ": the provider does not list its machine %s\n", weir_get_i64(o, "lease", 0), weir_get_text(o, "instance"));
    }
}

int weir_leases_audit(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    json_t *audit = NULL;
    int r = weir_client_open(&api, args, err);
    r = r < 0 ? r : fresh_audit(api, &audit, err);
    if (r < 0) {
        return r;
    }
    bool clean = weir_get_bool(audit, "clean");
    if (weir_args_has(args, "json")) {
        weir_print_json(audit);
    } else {
        size_t i;
        json_t *p;
        json_array_foreach(json_object_get(audit, "providers"), i, p)
        {
            show_provider(p);
        }
        (void)printf(clean ? "clean: every machine has its lease, every lease its machine\n" : "not clean\n");
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str why = WEIR_STR_INIT(400);
    add_unasked(audit, &why);
    json_decref(audit);
    if (why.n > 0 && !clean) {
        return weir_fail(err, -WEIR_ECONFLICT, "%s: nothing is proven of its machines", weir_str_cstr(&why));
    }
    return clean ? 0 : weir_fail(err, -WEIR_ECONFLICT, "leases and providers do not agree; what nobody owns is being ended: look again in a minute");
}

/* Says what is waited for whenever that changes. */
static void say_left(const json_t *audit, struct weir_str *said)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str now = WEIR_STR_INIT(400);
    size_t there = machines(audit);
    int64_t leases = weir_get_i64(audit, "leases", 0);
    if (there > 0 || leases > 0) {
        weir_str_addf(&now, "%zu machines and %" PRId64 " leases are left", there, leases);
    }
    add_unasked(audit, &now);
    if (now.n > 0 && !weir_streq(weir_str_cstr(&now), weir_str_cstr(said))) {
        weir_talk("waiting: %s", weir_str_cstr(&now));
        weir_str_clear(said);
        weir_str_adds(said, weir_str_cstr(&now));
    }
}

/* Waits until neither the broker nor any provider has a machine. */
static int wait_down(struct weir_client *api, const struct weir_args *args, struct weir_err *err)
{
    int64_t limit_s = weir_args_duration(args, "timeout", weir_dur_s(DOWN_S)).us / WEIR_US_PER_S;
    int64_t end = now_s() + limit_s;
    WEIR_CLEANUP(weir_str_release) struct weir_str said = WEIR_STR_INIT(400);
    for (;;) {
        json_t *audit = NULL;
        int r = fresh_audit(api, &audit, err);
        if (r < 0) {
            return r;
        }
        bool proven = machines(audit) == 0 && weir_get_i64(audit, "leases", 0) == 0 && weir_get_bool(audit, "clean");
        if (proven && weir_args_has(args, "json")) {
            weir_print_json(audit);
        }
        if (!proven) {
            say_left(audit, &said);
        }
        json_decref(audit);
        if (proven) {
            weir_talk("every provider says that no machine is left; nothing is rented until 'weir down --resume'");
            return 0;
        }
        if (now_s() >= end) {
            return weir_fail(err, -WEIR_ETIMEOUT, "after %" PRId64 " s: %s; see 'weir leases --audit'", limit_s,
                             said.n > 0 ? weir_str_cstr(&said) : "the providers have not confirmed it");
        }
        weir_pause((struct weir_dur){LOOK_MS * WEIR_US_PER_MS});
    }
}

int weir_cmd_down(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    bool all = weir_args_has(args, "all");
    bool resume = weir_args_has(args, "resume");
    json_t *answer = NULL;
    if (all == resume) {
        return weir_fail(err, -WEIR_EINVAL, "one of --all and --resume is wanted");
    }
    int r = weir_client_open(&api, args, err);
    r = r < 0 ? r : weir_client_call(api, "POST", all ? "/v1/leases/down" : "/v1/leases/up", NULL, &answer, err);
    if (r == 0 && resume && weir_args_has(args, "json")) {
        weir_print_json(answer);
    } else if (r == 0 && resume) {
        weir_talk("machines are rented again");
    }
    json_decref(answer);
    return r == 0 && all ? wait_down(api, args, err) : r;
}
