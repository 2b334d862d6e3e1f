/* SPDX-License-Identifier: Apache-2.0 */
/* Picking values out of JSON without building a tree: lists of jobs show two fields of specifications that may be large. */
#include "base/json.h"
#include "base/mem.h"

/* The position behind the string that starts at i (a quote). */
static size_t skip_string(struct weir_sv s, size_t i)
{
    for (i++; i < s.n && s.p[i] != '"'; i++) {
        if (s.p[i] == '\\') {
            i++;
        }
    }
    return i + 1;
}

/* The position behind the value that starts at i. */
static size_t skip_value(struct weir_sv s, size_t i)
{
    int depth = 0;
    while (i < s.n) {
        char c = s.p[i];
        if (c == '"') {
            i = skip_string(s, i);
            if (depth == 0) {
                return i;
            }
            continue;
        }
        if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0) {
                return i;
            }
            if (--depth == 0) {
                return i + 1;
            }
        } else if (c == ',' && depth == 0) {
            return i;
        }
        i++;
    }
    return s.n;
}

static size_t skip_space(struct weir_sv s, size_t i)
{
    while (i < s.n &&
           (s.p[i] == ' ' || s.p[i] == '\n' || s.p[i] == '\t' || s.p[i] == '\r' || s.p[i] == ',' || s.p[i] == ':')) {
        i++;
    }
    return i;
}

struct weir_sv weir_json_find(struct weir_sv object, const char *key)
{
    struct weir_sv none = {NULL, 0};
    struct weir_sv want = weir_sv_of(key);
    size_t i = skip_space(object, 0);
    if (i >= object.n || object.p[i] != '{') {
        return none;
    }
    i = skip_space(object, i + 1);
    while (i < object.n && object.p[i] == '"') {
        size_t end = skip_string(object, i);
        if (end > object.n) {
            return none;
        }
        struct weir_sv name = {object.p + i + 1, end - i - 2};
        i = skip_space(object, end);
        size_t value_end = skip_value(object, i);
        if (value_end > object.n) {
            return none;
        }
        if (weir_sv_eq(name, want)) {
            return weir_sv_trim((struct weir_sv){object.p + i, value_end - i});
        }
        i = skip_space(object, value_end);
    }
    return none;
}

char *weir_json_text(struct weir_sv value)
{
    if (value.n < 2 || value.p[0] != '"' || value.p[value.n - 1] != '"') {
        return NULL;
    }
    return weir_strndup(value.p + 1, value.n - 2);
}
