/* SPDX-License-Identifier: Apache-2.0 */

/* The section alerts of the configuration: who is told of what. docs/guide/alerts.md describes it. */

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/parse.h"
#include "base/process.h"
#include "config_priv.h"
#include "net/address.h"

enum { SECRET_BYTES_MAX = 64 * 1024, URL_BYTES_MAX = 2048, TEXT_BYTES_MAX = 256 };

static const char *const kind_names[WEIR_RECEIVER_KIND_MAX + 1] = {"webhook", "slack", "alertmanager", "mail", NULL};

const char *weir_receiver_kind_name(enum weir_receiver_kind k)
{
    return kind_names[k];
}

struct weir_config_alerts weir_config_alerts_default(void)
{
    return (struct weir_config_alerts){.price_drift_percent = 20,
                                       .run_out = weir_dur_s(3 * 86400),
                                       .group_wait = weir_dur_s(30),
                                       .repeat = weir_dur_s(12 * 3600),
                                       .keep = weir_dur_s(7 * 86400)};
}

static void wipe(char *secret)
{
    if (secret != NULL) {
        explicit_bzero(secret, strlen(secret));
    }
    free(secret);
}

void config_free_alerts(struct weir_config_alerts *a)
{
    for (size_t i = 0; i < a->n_receivers; i++) {
        struct weir_config_receiver *r = &a->receiver[i];
        wipe(r->url);
        wipe(r->secret);
        wipe(r->token);
        free(r->ca_pem);
        free(r->user);
        free(r->from);
        for (size_t k = 0; k < r->n_to; k++) {
            free(r->to[k]);
        }
    }
    free(a->route);
    free(a->queue_wait);
}

/* ---- receivers ---- */

static int read_text(struct config_loader *l, const struct doc *d, void *target)
{
    char buf[URL_BYTES_MAX];
    int r = config_read_string(l, d, buf, sizeof buf);
    if (r == 0 && (buf[0] == '\0' || strpbrk(buf, "\r\n") != NULL)) {
        r = config_fail_at(l, d, "a line of text is wanted here");
    }
    if (r == 0) {
        char *copy = weir_strdup(buf);
        free(*(char **)target);
        *(char **)target = copy;
    }
    return r;
}

/* Takes text without the line's end that editors leave. */
static int take_secret(struct config_loader *l, const struct doc *d, const char *text, void *target)
{
    struct weir_sv s = weir_sv_trim(weir_sv_of(text));
    if (s.n == 0 || memchr(s.p, '\n', s.n) != NULL || memchr(s.p, '\r', s.n) != NULL) {
        return config_fail_at(l, d, "what it names is empty, or has more than one line");
    }
    wipe(*(char **)target);
    *(char **)target = weir_strndup(s.p, s.n);
    return 0;
}

static int read_file(struct config_loader *l, const struct doc *d, void *target)
{
    char path[4096];
    char *text = NULL;
    size_t n = 0;
    struct weir_err why;
    int r = config_read_string(l, d, path, sizeof path);
    if (r != 0) {
        return r;
    }
    if (weir_file_read(path, SECRET_BYTES_MAX, &text, &n, &why) != 0) {
        return config_fail_at(l, d, why.text);
    }
    r = take_secret(l, d, text, target);
    wipe(text);
    return r;
}

static int read_env(struct config_loader *l, const struct doc *d, void *target)
{
    char name[TEXT_BYTES_MAX];
    int r = config_read_string(l, d, name, sizeof name);
    if (r != 0) {
        return r;
    }
    const char *value = weir_process_env(name);
    return value != NULL ? take_secret(l, d, value, target) : config_fail_at(l, d, "no such variable is in the broker's environment");
}

static int read_ca(struct config_loader *l, const struct doc *d, void *target)
{
    char path[4096];
    size_t n = 0;
    struct weir_err why;
    int r = config_read_string(l, d, path, sizeof path);
    if (r == 0 && weir_file_read(path, SECRET_BYTES_MAX, target, &n, &why) != 0) {
        r = config_fail_at(l, d, why.text);
    }
    return r;
}

static int read_kind(struct config_loader *l, const struct doc *d, void *target)
{
    char word[32];
    int r = config_read_string(l, d, word, sizeof word);
    unsigned k = 0;
    while (r == 0 && k < WEIR_RECEIVER_KIND_MAX && !weir_streq(word, kind_names[k])) {
        k++;
    }
    if (r == 0 && k == WEIR_RECEIVER_KIND_MAX) {
        return config_fail_at(l, d, "a receiver is of the kind webhook, slack, alertmanager or mail");
    }
    *(enum weir_receiver_kind *)target = (enum weir_receiver_kind)k;
    return r;
}

/* One mail address as it goes on the wire: what is not printable, and what would end it, is refused. */
static bool is_address(const char *s)
{
    size_t n = strlen(s);
    const char *at = strchr(s, '@');
    for (size_t i = 0; i < n; i++) {
        if (s[i] <= ' ' || s[i] >= 127 || strchr("<>()[],;:\\\"", s[i]) != NULL) {
            return false;
        }
    }
    return n > 2 && n < TEXT_BYTES_MAX && at != NULL && at != s && at[1] != '\0' && strchr(at + 1, '@') == NULL;
}

static int read_address(struct config_loader *l, const struct doc *d, void *target)
{
    int r = read_text(l, d, target);
    return r == 0 && !is_address(*(char **)target) ? config_fail_at(l, d, "a mail address is wanted here: name@example.org") : r;
}

static int read_to(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_receiver *x = target;
    const struct doc *first = d->kind == DOC_LIST ? d->first : d;
    for (const struct doc *i = first; i != NULL; i = d->kind == DOC_LIST ? i->next : NULL) {
        if (x->n_to == WEIR_CONFIG_MAIL_TO_MAX) {
            return config_fail_at(l, i, "at most 16 addresses");
        }
        int r = read_address(l, i, &x->to[x->n_to++]);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static int check_receiver(struct config_loader *l, const struct doc *d, const struct weir_config_receiver *x)
{
    bool mail = x->kind == WEIR_RECEIVER_MAIL;
    struct weir_sv url = weir_sv_of(x->url == NULL ? "" : x->url);
    bool tls = weir_sv_starts(url, mail ? WEIR_SV("smtps://") : WEIR_SV("https://"));
    if (!tls && !weir_sv_starts(url, mail ? WEIR_SV("smtp://") : WEIR_SV("http://"))) {
        return config_fail_at(l, d, mail ? "a mail receiver wants url: smtp://HOST:PORT or smtps://HOST:PORT (or url_file, url_env)"
                                      : "a receiver wants url: https://... (or url_file, url_env)");
    }
    if (!mail && !tls && !weir_url_is_loopback(x->url)) {
        return config_fail_at(l, d, "url: plain http is for this host only: use https");
    }
    if (mail ? x->from == NULL || x->n_to == 0 || x->token != NULL : x->from != NULL || x->n_to > 0 || x->user != NULL || x->allow_plain) {
        return config_fail_at(l, d, mail ? "a mail receiver wants from and to, and has no token" : "from, to, user and allow_plain are for mail");
    }
    if (mail && (x->user == NULL) != (x->secret == NULL)) {
        return config_fail_at(l, d, "user goes with password_file or password_env");
    }
    if (!mail && x->kind != WEIR_RECEIVER_WEBHOOK && x->secret != NULL) {
        return config_fail_at(l, d, "secret_file and secret_env sign what a webhook is sent: no other receiver looks at it");
    }
    return 0;
}

static int read_receivers(struct config_loader *l, const struct doc *d, void *target)
{
    static const struct config_row rows[] = {
        {"kind", read_kind, offsetof(struct weir_config_receiver, kind)},
        {"url", read_text, offsetof(struct weir_config_receiver, url)},
        {"url_file", read_file, offsetof(struct weir_config_receiver, url)},
        {"url_env", read_env, offsetof(struct weir_config_receiver, url)},
        {"secret_file", read_file, offsetof(struct weir_config_receiver, secret)},
        {"secret_env", read_env, offsetof(struct weir_config_receiver, secret)},
        {"password_file", read_file, offsetof(struct weir_config_receiver, secret)},
        {"password_env", read_env, offsetof(struct weir_config_receiver, secret)},
        {"token_file", read_file, offsetof(struct weir_config_receiver, token)},
        {"token_env", read_env, offsetof(struct weir_config_receiver, token)},
        {"ca_file", read_ca, offsetof(struct weir_config_receiver, ca_pem)},
        {"user", read_text, offsetof(struct weir_config_receiver, user)},
        {"from", read_address, offsetof(struct weir_config_receiver, from)},
        {"to", read_to, 0},
        {"allow_plain", config_read_bool, offsetof(struct weir_config_receiver, allow_plain)},
    };
    struct weir_config_alerts *a = target;
    if (d->kind != DOC_MAP) {
        return config_fail_at(l, d, "a mapping of receivers' names is wanted here");
    }
    for (const struct doc *i = d->first; i != NULL; i = i->next) {
        if (a->n_receivers == WEIR_CONFIG_RECEIVERS_MAX || i->key.n == 0 || i->key.n >= sizeof a->receiver[0].name) {
            return config_fail_at(l, i, "at most 16 receivers, with names of at most 63 bytes");
        }
        struct weir_config_receiver *x = &a->receiver[a->n_receivers++];
        memcpy(x->name, i->key.p, i->key.n);
        int r = doc_get(i, "kind") == NULL ? config_fail_at(l, i, "a receiver wants kind: webhook, slack, alertmanager or mail")
                                            : config_read_rows(l, i, rows, WEIR_ARRAY_LEN(rows), x);
        r = r != 0 ? r : check_receiver(l, i, x);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

/* ---- routes ---- */

static int each_text(struct config_loader *l, const struct doc *d, int (*fn)(struct config_loader *l, const struct doc *d, void *target), void *target)
{
    if (d->kind != DOC_LIST) {
        return fn(l, d, target);
    }
    for (const struct doc *i = d->first; i != NULL; i = i->next) {
        int r = fn(l, i, target);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static int one_condition(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_route *x = target;
    uint32_t found = 0;
    int r = config_scalar(l, d);
    for (unsigned c = 0; r == 0 && c < WEIR_ALERT_CONDITION_MAX; c++) {
        found |= weir_glob_match(d->text, weir_sv_of(weir_alert_condition_name((enum weir_alert_condition)c))) ? 1u << c : 0;
    }
    x->conditions |= found;
    return r == 0 && found == 0 ? config_fail_at(l, d, "no condition is called so: see docs/guide/alerts.md") : r;
}

static int one_project(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_route *x = target;
    return x->n_projects == WEIR_CONFIG_ROUTE_NAMES_MAX ? config_fail_at(l, d, "at most 32 projects")
                                                        : config_read_string(l, d, x->project[x->n_projects++], sizeof x->project[0]);
}

static int one_receiver(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_route *x = target;
    int r = config_scalar(l, d);
    for (size_t i = 0; r == 0 && i < l->c->alerts.n_receivers; i++) {
        if (weir_sv_eq(d->text, weir_sv_of(l->c->alerts.receiver[i].name))) {
            x->receivers |= 1u << i;
            return 0;
        }
    }
    return r != 0 ? r : config_fail_at(l, d, "no receiver is called so; receivers stand before routes");
}

static int read_conditions(struct config_loader *l, const struct doc *d, void *target)
{
    return each_text(l, d, one_condition, target);
}

static int read_projects(struct config_loader *l, const struct doc *d, void *target)
{
    return each_text(l, d, one_project, target);
}

static int read_route_receivers(struct config_loader *l, const struct doc *d, void *target)
{
    return each_text(l, d, one_receiver, target);
}

static int read_severity(struct config_loader *l, const struct doc *d, void *target)
{
    char word[32];
    int r = config_read_string(l, d, word, sizeof word);
    *(bool *)target = r == 0 && weir_streq(word, "critical");
    return r == 0 && !weir_streq(word, "critical") && !weir_streq(word, "warning") ? config_fail_at(l, d, "severity is warning (all), or critical") : r;
}

static int read_routes(struct config_loader *l, const struct doc *d, void *target)
{
    static const struct config_row rows[] = {
        {"conditions", read_conditions, 0},
        {"projects", read_projects, 0},
        {"severity", read_severity, offsetof(struct weir_config_route, critical_only)},
        {"receivers", read_route_receivers, 0},
    };
    struct weir_config_alerts *a = target;
    if (d->kind != DOC_LIST || d->n > WEIR_CONFIG_ROUTES_MAX) {
        return config_fail_at(l, d, "a list of at most 64 routes is wanted here");
    }
    free(a->route);
    a->route = weir_calloc(d->n + 1, sizeof *a->route);
    a->n_routes = 0;
    for (const struct doc *i = d->first; i != NULL; i = i->next) {
        struct weir_config_route *x = &a->route[a->n_routes++];
        int r = config_read_rows(l, i, rows, WEIR_ARRAY_LEN(rows), x);
        if (r != 0) {
            return r;
        }
        if (x->receivers == 0) {
            return config_fail_at(l, i, "a route wants receivers");
        }
    }
    return 0;
}

/* ---- the rest ---- */

static int read_repeat(struct config_loader *l, const struct doc *d, void *target)
{
    if (d->kind == DOC_SCALAR && weir_sv_eq(d->text, WEIR_SV("never"))) {
        *(struct weir_dur *)target = (struct weir_dur){0};
        return 0;
    }
    return config_read_duration(l, d, target);
}

/* "2h", or {vision: 30m, "*": 4h}: the first that matches counts. */
static int read_queue_wait(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_alerts *a = target;
    if (d->kind == DOC_MAP && d->n > WEIR_CONFIG_QUEUE_WAITS_MAX) {
        return config_fail_at(l, d, "at most 256 projects");
    }
    free(a->queue_wait);
    a->queue_wait = weir_calloc(d->n + 1, sizeof *a->queue_wait);
    a->n_queue_waits = 0;
    if (d->kind != DOC_MAP) {
        memcpy(a->queue_wait[0].project, "*", 2);
        a->n_queue_waits = 1;
        return config_read_duration(l, d, &a->queue_wait[0].objective);
    }
    for (const struct doc *i = d->first; i != NULL; i = i->next) {
        struct weir_config_queue_wait *x = &a->queue_wait[a->n_queue_waits++];
        if (i->key.n == 0 || i->key.n >= sizeof x->project) {
            return config_fail_at(l, i, "a project's name is wanted here, or a pattern such as *");
        }
        memcpy(x->project, i->key.p, i->key.n);
        int r = config_read_duration(l, i, &x->objective);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

int config_read_alerts(struct config_loader *l, const struct doc *d, void *target)
{
    static const struct config_row rows[] = {
        {"receivers", read_receivers, 0},
        {"routes", read_routes, 0},
        {"queue_wait", read_queue_wait, 0},
        {"price_drift_percent", config_read_u32, offsetof(struct weir_config_alerts, price_drift_percent)},
        {"quota_percent", config_read_u32, offsetof(struct weir_config_alerts, quota_percent)},
        {"run_out", config_read_duration, offsetof(struct weir_config_alerts, run_out)},
        {"group_wait", config_read_duration, offsetof(struct weir_config_alerts, group_wait)},
        {"repeat", read_repeat, offsetof(struct weir_config_alerts, repeat)},
        {"keep", config_read_duration, offsetof(struct weir_config_alerts, keep)},
    };
    return config_read_rows(l, d, rows, WEIR_ARRAY_LEN(rows), target);
}
