/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include "assert.h"

struct weir_json weir_json_begin(struct weir_str *out)
{
    return (struct weir_json){.out = out, .first = {true}};
}

static void before_value(struct weir_json *j)
{
    if (j->after_key) {
        j->after_key = false;
        return;
    }
    if (!j->first[j->depth]) {
        weir_str_addc(j->out, ',');
    }
    j->first[j->depth] = false;
}

static void open_scope(struct weir_json *j, char open, char close)
{
    before_value(j);
    WEIR_ASSERT(j->depth + 1 < WEIR_JSON_DEPTH_MAX);
    j->depth++;
    j->first[j->depth] = true;
    j->close[j->depth] = close;
    weir_str_addc(j->out, open);
}

void weir_json_object(struct weir_json *j)
{
    open_scope(j, '{', '}');
}

void weir_json_array(struct weir_json *j)
{
    open_scope(j, '[', ']');
}

void weir_json_end(struct weir_json *j)
{
    WEIR_ASSERT(j->depth > 0 && !j->after_key);
    weir_str_addc(j->out, j->close[j->depth]);
    j->depth--;
}

/* Bytes of the well-formed UTF-8 character at p, of the n that are left; 0: there is none. */
static size_t utf8_bytes(const char *p, size_t n)
{
    const unsigned char *c = (const unsigned char *)p;
    size_t want = c[0] >= 0xc2 && c[0] <= 0xdf ? 2 : c[0] >= 0xe0 && c[0] <= 0xef ? 3 : c[0] >= 0xf0 && c[0] <= 0xf4 ? 4 : 0;
    if (want == 0 || want > n) {
        return 0;
    }
    /* neither overlong, nor a surrogate, nor beyond the last character */
    unsigned char low = c[0] == 0xe0 ? 0xa0 : c[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = c[0] == 0xed ? 0x9f : c[0] == 0xf4 ? 0x8f : 0xbf;
    for (size_t i = 1; i < want; i++) {
        if (c[i] < low || c[i] > high) {
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    return want;
}

static void quoted(struct weir_str *out, struct weir_sv s)
{
    static const char hex[] = "0123456789abcdef";
    weir_str_addc(out, '"');
    size_t start = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        size_t n = c < 0x80 ? 1 : utf8_bytes(s.p + i, s.n - i);
        if (n > 1) {
            i += n - 1;
            continue;
        }
        if (n == 1 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
            continue;
        }
        weir_str_add(out, s.p + start, i - start);
        start = i + 1;
        if (n == 0) {
            weir_str_addc(out, '?');
            continue;
        }
        switch (c) {
        case '"':
            weir_str_adds(out, "\\\"");
            break;
        case '\\':
            weir_str_adds(out, "\\\\");
            break;
        case '\n':
            weir_str_adds(out, "\\n");
            break;
        case '\t':
            weir_str_adds(out, "\\t");
            break;
        case '\r':
            weir_str_adds(out, "\\r");
            break;
        default: {
            char u[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            weir_str_add(out, u, sizeof u);
        }
        }
    }
    weir_str_add(out, s.p + start, s.n - start);
    weir_str_addc(out, '"');
}

void weir_json_key(struct weir_json *j, const char *key)
{
    WEIR_ASSERT(!j->after_key && j->depth > 0 && j->close[j->depth] == '}');
    before_value(j);
    quoted(j->out, weir_sv_of(key));
    weir_str_addc(j->out, ':');
    j->after_key = true;
}

void weir_json_string(struct weir_json *j, struct weir_sv s)
{
    before_value(j);
    quoted(j->out, s);
}

void weir_json_cstr(struct weir_json *j, const char *s)
{
    if (s == NULL) {
        weir_json_null(j);
    } else {
        weir_json_string(j, weir_sv_of(s));
    }
}

void weir_json_u64(struct weir_json *j, uint64_t v)
{
    before_value(j);
    weir_str_add_u64(j->out, v);
}

void weir_json_i64(struct weir_json *j, int64_t v)
{
    before_value(j);
    weir_str_add_i64(j->out, v);
}

void weir_json_bool(struct weir_json *j, bool v)
{
    before_value(j);
    weir_str_adds(j->out, v ? "true" : "false");
}

void weir_json_null(struct weir_json *j)
{
    before_value(j);
    weir_str_adds(j->out, "null");
}

void weir_json_time(struct weir_json *j, struct weir_wall t)
{
    if (t.us == 0) {
        weir_json_null(j);
        return;
    }
    char buf[WEIR_RFC3339_SIZE];
    weir_json_cstr(j, weir_wall_format(t, buf));
}

void weir_json_raw(struct weir_json *j, struct weir_sv json)
{
    before_value(j);
    weir_str_add(j->out, json.p, json.n);
}

void weir_json_kv_cstr(struct weir_json *j, const char *key, const char *s)
{
    weir_json_key(j, key);
    weir_json_cstr(j, s);
}

void weir_json_kv_u64(struct weir_json *j, const char *key, uint64_t v)
{
    weir_json_key(j, key);
    weir_json_u64(j, v);
}

void weir_json_kv_i64(struct weir_json *j, const char *key, int64_t v)
{
    weir_json_key(j, key);
    weir_json_i64(j, v);
}

void weir_json_kv_bool(struct weir_json *j, const char *key, bool v)
{
    weir_json_key(j, key);
    weir_json_bool(j, v);
}

void weir_json_kv_id(struct weir_json *j, const char *key, uint64_t id)
{
    weir_json_key(j, key);
    if (id == 0) {
        weir_json_null(j);
    } else {
        weir_json_u64(j, id);
    }
}

void weir_json_kv_time(struct weir_json *j, const char *key, struct weir_wall t)
{
    weir_json_key(j, key);
    weir_json_time(j, t);
}
