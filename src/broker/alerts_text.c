/* SPDX-License-Identifier: Apache-2.0 */

/* What receivers are sent. docs/guide/alerts.md describes each form; what is listed is bounded, the rest is counted. */

#include <inttypes.h>
#include <stdio.h>

#include "alerts_priv.h"
#include "base/json.h"

enum { MESSAGE_BYTES_MAX = 4 << 20, MAIL_LINE_MAX = 72 };

static const char *state_of(const struct weir_alert *a)
{
    return a->firing ? "firing" : "resolved";
}

static size_t count_firing(const struct alert_message *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) {
        n += m->alert[i]->firing ? 1 : 0;
    }
    return n;
}

static size_t n_shown(const struct alert_message *m)
{
    return m->n < m->shown_max ? m->n : m->shown_max;
}

/* ---- webhook ---- */

struct weir_str alert_text_webhook(const struct alert_message *m)
{
    struct weir_str s = WEIR_STR_INIT(MESSAGE_BYTES_MAX);
    struct weir_json j = weir_json_begin(&s);
    char id[17];
    size_t firing = count_firing(m);
    (void)snprintf(id, sizeof id, "%016" PRIx64, m->id);
    weir_json_object(&j);
    weir_json_kv_u64(&j, "version", 1);
    weir_json_kv_cstr(&j, "id", id);
    weir_json_kv_cstr(&j, "weir", m->owner);
    weir_json_kv_cstr(&j, "url", m->url);
    weir_json_kv_cstr(&j, "receiver", m->receiver->name);
    weir_json_kv_bool(&j, "test", m->is_test);
    weir_json_kv_u64(&j, "firing", firing);
    weir_json_kv_u64(&j, "resolved", m->n - firing);
    weir_json_kv_u64(&j, "omitted", m->n - n_shown(m));
    weir_json_key(&j, "alerts");
    weir_json_array(&j);
    for (size_t i = 0; i < n_shown(m); i++) {
        const struct weir_alert *a = m->alert[i];
        weir_json_object(&j);
        weir_json_kv_u64(&j, "id", a->id);
        weir_json_kv_cstr(&j, "key", a->key);
        weir_json_kv_cstr(&j, "condition", weir_alert_condition_name(a->condition));
        weir_json_kv_cstr(&j, "severity", weir_alert_severity_name(a->severity));
        weir_json_kv_cstr(&j, "project", a->project[0] == '\0' ? NULL : a->project);
        weir_json_kv_cstr(&j, "state", state_of(a));
        weir_json_kv_cstr(&j, "text", a->text);
        weir_json_kv_time(&j, "began", a->began);
        weir_json_kv_time(&j, "since", a->since);
        weir_json_end(&j);
    }
    weir_json_end(&j);
    weir_json_end(&j);
    return s;
}

/* ---- for people ---- */

static void headline(const struct alert_message *m, struct weir_str *out)
{
    size_t firing = count_firing(m);
    if (m->is_test) {
        weir_str_adds(out, "[weir] test of the receiver");
    } else if (m->n == 1) {
        weir_str_addf(out, "[weir] %s: %s (%s)", m->alert[0]->firing ? weir_alert_severity_name(m->alert[0]->severity) : "resolved",
                      weir_alert_condition_name(m->alert[0]->condition), state_of(m->alert[0]));
    } else {
        weir_str_addf(out, "[weir] %s: %zu firing, %zu resolved", weir_alert_condition_name(m->alert[0]->condition), firing, m->n - firing);
    }
}

static void lines(const struct alert_message *m, const char *bullet, struct weir_str *out)
{
    for (size_t i = 0; i < n_shown(m); i++) {
        const struct weir_alert *a = m->alert[i];
        char since[WEIR_RFC3339_SIZE];
        weir_str_addf(out, "%s%s %s: %s (since %s)\n", bullet, a->firing ? weir_alert_severity_name(a->severity) : "resolved",
                      weir_alert_condition_name(a->condition), a->text, weir_wall_format((struct weir_wall){a->since.us - a->since.us % WEIR_US_PER_S}, since));
    }
    if (m->n > n_shown(m)) {
        weir_str_addf(out, "%sand %zu more: weir alerts\n", bullet, m->n - n_shown(m));
    }
    weir_str_addf(out, "%s\n", m->url);
}

/* Slack takes text with three characters escaped; then it is a string of JSON. */
struct weir_str alert_text_slack(const struct alert_message *m)
{
    struct weir_str plain = WEIR_STR_INIT(MESSAGE_BYTES_MAX);
    struct weir_str text = WEIR_STR_INIT(MESSAGE_BYTES_MAX);
    headline(m, &plain);
    weir_str_addc(&plain, '\n');
    lines(m, "- ", &plain);
    for (size_t i = 0; i < plain.n; i++) {
        switch (plain.p[i]) {
        case '&':
            weir_str_adds(&text, "&amp;");
            break;
        case '<':
            weir_str_adds(&text, "&lt;");
            break;
        case '>':
            weir_str_adds(&text, "&gt;");
            break;
        default:
            weir_str_addc(&text, plain.p[i]);
        }
    }
    struct weir_str s = WEIR_STR_INIT(MESSAGE_BYTES_MAX);
    struct weir_json j = weir_json_begin(&s);
    weir_json_object(&j);
    weir_json_key(&j, "text");
    weir_json_string(&j, weir_str_sv(&text));
    weir_json_end(&j);
    weir_str_release(&plain);
    weir_str_release(&text);
    return s;
}

/* ---- Alertmanager ---- */

struct weir_str alert_text_alertmanager(const struct alert_message *m, struct weir_dur live)
{
    struct weir_str s = WEIR_STR_INIT(MESSAGE_BYTES_MAX);
    struct weir_json j = weir_json_begin(&s);
    weir_json_array(&j);
    for (size_t i = 0; i < m->n; i++) {
        const struct weir_alert *a = m->alert[i];
        weir_json_object(&j);
        weir_json_key(&j, "labels");
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "alertname", weir_alert_condition_name(a->condition));
        weir_json_kv_cstr(&j, "key", a->key);
        weir_json_kv_cstr(&j, "severity", weir_alert_severity_name(a->severity));
        weir_json_kv_cstr(&j, "weir", m->owner);
        if (a->project[0] != '\0') {
            weir_json_kv_cstr(&j, "project", a->project);
        }
        weir_json_end(&j);
        weir_json_key(&j, "annotations");
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "summary", a->text);
        weir_json_end(&j);
        weir_json_kv_time(&j, "startsAt", a->began);
        weir_json_kv_time(&j, "endsAt", a->firing ? weir_wall_add(m->now, live) : a->since);
        if (m->url[0] != '\0') {
            weir_json_kv_cstr(&j, "generatorURL", m->url);
        }
        weir_json_end(&j);
    }
    weir_json_end(&j);
    return s;
}

/* ---- mail ---- */

/* Quoted-printable, so that any relay passes it on and people can read it raw. */
static void quote(struct weir_sv text, struct weir_str *out)
{
    size_t column = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '\n') {
            weir_str_adds(out, "\r\n");
            column = 0;
            continue;
        }
        if (column >= MAIL_LINE_MAX) {
            weir_str_adds(out, "=\r\n");
            column = 0;
        }
        bool ends = i + 1 == text.n || text.p[i + 1] == '\n';
        bool plain = (c > ' ' && c < 127 && c != '=' && !(c == '.' && column == 0)) || (c == ' ' && !ends);
        if (plain) {
            weir_str_addc(out, (char)c);
            column++;
        } else {
            weir_str_addf(out, "=%02X", c);
            column += 3;
        }
    }
}

static void mail_date(struct weir_wall now, struct weir_str *out)
{
    static const char *const days[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"}; /* 1970 began on a Thursday */
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct weir_date d = weir_wall_to_date(now);
    weir_str_addf(out, "Date: %s, %d %s %04d %02d:%02d:%02d +0000\r\n", days[now.us / WEIR_US_PER_DAY % 7], d.day, months[d.month - 1], d.year,
                  d.hour, d.minute, d.second);
}

struct weir_str alert_text_mail(const struct alert_message *m)
{
    const struct weir_config_receiver *r = m->receiver;
    struct weir_str s = WEIR_STR_INIT(MESSAGE_BYTES_MAX);
    struct weir_str body = WEIR_STR_INIT(MESSAGE_BYTES_MAX);
    mail_date(m->now, &s);
    weir_str_addf(&s, "From: <%s>\r\n", r->from);
    for (size_t i = 0; i < r->n_to; i++) {
        weir_str_addf(&s, "%s<%s>%s\r\n", i == 0 ? "To: " : " ", r->to[i], i + 1 < r->n_to ? "," : "");
    }
    weir_str_adds(&s, "Subject: "); /* ASCII: names of conditions, and numbers */
    headline(m, &s);
    weir_str_addf(&s, "\r\nMessage-ID: <%016" PRIx64 "@%s.weir>\r\n", m->id, m->owner);
    weir_str_adds(&s, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                      "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
    lines(m, "", &body);
    quote(weir_str_sv(&body), &s);
    weir_str_release(&body);
    return s;
}
