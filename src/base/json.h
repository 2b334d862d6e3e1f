/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A JSON writer over struct weir_str: commas and escapes are its business, nesting is counted and
 * checked. Reading is jansson's, at the border (net, spec). All verbs do nothing once the builder
 * has overflowed; check out->overflowed at the end. What is written is UTF-8 whatever the text is: a byte that belongs to
 * no character (of a name that was cut, say) becomes '?'.
 *
 *     struct weir_json j = weir_json_begin(&out);
 *     weir_json_object(&j);
 *     weir_json_key(&j, "id"), weir_json_u64(&j, 7);
 *     weir_json_end(&j);
 */

#include "money.h"
#include "str.h"
#include "wtime.h"

enum { WEIR_JSON_DEPTH_MAX = 32 };

struct weir_json {
    struct weir_str *out;
    int depth;
    bool first[WEIR_JSON_DEPTH_MAX]; /* nothing written yet at this depth */
    char close[WEIR_JSON_DEPTH_MAX];
    bool after_key;
};

struct weir_json weir_json_begin(struct weir_str *out);
void weir_json_object(struct weir_json *j);
void weir_json_array(struct weir_json *j);
/* Ends the innermost object or array. */
void weir_json_end(struct weir_json *j);
void weir_json_key(struct weir_json *j, const char *key);
void weir_json_string(struct weir_json *j, struct weir_sv s);
/* NULL writes null. */
void weir_json_cstr(struct weir_json *j, const char *s);
void weir_json_u64(struct weir_json *j, uint64_t v);
void weir_json_i64(struct weir_json *j, int64_t v);
void weir_json_bool(struct weir_json *j, bool v);
void weir_json_null(struct weir_json *j);
/* RFC 3339 string; null where not set (us == 0). */
void weir_json_time(struct weir_json *j, struct weir_wall t);
/* Copies text that is already valid JSON. */
void weir_json_raw(struct weir_json *j, struct weir_sv json);

/* key and value in one line each */
void weir_json_kv_cstr(struct weir_json *j, const char *key, const char *s);
void weir_json_kv_u64(struct weir_json *j, const char *key, uint64_t v);
void weir_json_kv_i64(struct weir_json *j, const char *key, int64_t v);
void weir_json_kv_bool(struct weir_json *j, const char *key, bool v);
/* null where 0. */
void weir_json_kv_id(struct weir_json *j, const char *key, uint64_t id);
void weir_json_kv_time(struct weir_json *j, const char *key, struct weir_wall t);

/* A value at the top of a JSON object as raw text; p NULL where there is none. No allocation, no check: for what is known to be JSON. */
struct weir_sv weir_json_find(struct weir_sv object, const char *key);
/* A string value that has no escapes; NULL where it is none. malloc'ed. */
char *weir_json_text(struct weir_sv value);
