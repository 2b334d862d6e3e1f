/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/section.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cloud/exchange.h"
#include "net/address.h"

enum { SECRET_BYTES_MAX = 64 * 1024, PATH_BYTES_MAX = 4096 };

int weir_section_bad(struct weir_err *err, const char *where, const char *key, const char *want)
{
    return weir_fail(err, -WEIR_ECONFIG, "%s.%s: %s", where, key, want);
}

int weir_section_check(const json_t *section, const char *where, const char *const *known, struct weir_err *err)
{
    const char *key;
    json_t *value;
    if (section == NULL) {
        return 0;
    }
    if (!json_is_object(section)) {
        return weir_fail(err, -WEIR_ECONFIG, "%s: must be a mapping of keys to values", where);
    }
    json_object_foreach((json_t *)(uintptr_t)section, key, value)
    {
        const char *const *k = known;
        while (*k != NULL && !weir_streq(*k, key)) {
            k++;
        }
        if (*k == NULL) {
            const char *near = weir_nearest(weir_sv_of(key), known);
            return weir_fail(err, -WEIR_ECONFIG, "%s: unknown key '%.64s'%s%s%s", where, key, near != NULL ? "; did you mean '" : "",
                             near != NULL ? near : "", near != NULL ? "'?" : "");
        }
    }
    return 0;
}

/* A string or a number, as text; false where it is neither, or too long. */
static bool as_text(const json_t *v, char *ret, size_t size)
{
    int n = -1;
    if (json_is_string(v)) {
        n = snprintf(ret, size, "%s", json_string_value(v));
    } else if (json_is_integer(v)) {
        n = snprintf(ret, size, "%lld", (long long)json_integer_value(v));
    } else if (json_is_real(v)) {
        n = snprintf(ret, size, "%.6f", json_real_value(v));
    }
    return n >= 0 && (size_t)n < size;
}

int weir_section_u64(const json_t *section, const char *where, const char *key, uint64_t min, uint64_t max, uint64_t *ret, struct weir_err *err)
{
    const json_t *v = json_object_get(section, key);
    if (v == NULL) {
        return 0;
    }
    if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) < min || (uint64_t)json_integer_value(v) > max) {
        char want[96];
        (void)snprintf(want, sizeof want, "must be a whole number from %llu to %llu", (unsigned long long)min, (unsigned long long)max);
        return weir_section_bad(err, where, key, want);
    }
    *ret = (uint64_t)json_integer_value(v);
    return 0;
}

int weir_section_u32(const json_t *section, const char *where, const char *key, uint32_t min, uint32_t max, uint32_t *ret, struct weir_err *err)
{
    uint64_t v = *ret;
    int r = weir_section_u64(section, where, key, min, max, &v, err);
    *ret = (uint32_t)v;
    return r;
}

int weir_section_bool(const json_t *section, const char *where, const char *key, bool *ret, struct weir_err *err)
{
    const json_t *v = json_object_get(section, key);
    if (v != NULL && !json_is_boolean(v)) {
        return weir_section_bad(err, where, key, "must be true or false");
    }
    *ret = v == NULL ? *ret : json_is_true(v);
    return 0;
}

int weir_section_duration(const json_t *section, const char *where, const char *key, struct weir_dur *ret, struct weir_err *err)
{
    const json_t *v = json_object_get(section, key);
    char text[64];
    struct weir_err why;
    struct weir_dur d;
    if (v == NULL) {
        return 0;
    }
    if (!as_text(v, text, sizeof text)) {
        return weir_section_bad(err, where, key, "must be a duration such as \"30s\"");
    }
    if (weir_parse_duration(weir_sv_of(text), &d, &why) < 0) {
        return weir_section_bad(err, where, key, why.text);
    }
    if (d.us > 365 * WEIR_US_PER_DAY) {
        return weir_section_bad(err, where, key, "must be at most 365d");
    }
    *ret = d;
    return 0;
}

int weir_section_bytes(const json_t *section, const char *where, const char *key, uint64_t default_unit, uint64_t *ret, struct weir_err *err)
{
    const json_t *v = json_object_get(section, key);
    char text[64];
    if (v != NULL && (!as_text(v, text, sizeof text) || weir_parse_bytes(weir_sv_of(text), default_unit, ret, NULL) < 0)) {
        return weir_section_bad(err, where, key, "must be a size such as \"16G\"");
    }
    return 0;
}

int weir_section_decimal(const json_t *section, const char *where, const char *key, int places, int64_t min, int64_t max, int64_t *ret,
                         struct weir_err *err)
{
    const json_t *v = json_object_get(section, key);
    char text[64];
    int64_t n;
    if (v == NULL) {
        return 0;
    }
    if (!as_text(v, text, sizeof text) || weir_parse_decimal(weir_sv_of(text), places, &n, NULL) < 0 || n < min || n > max) {
        int64_t unit = 1;
        for (int i = 0; i < places; i++) {
            unit *= 10;
        }
        char want[96];
        (void)snprintf(want, sizeof want, "must be a number from %lld to %lld", (long long)(min / unit), (long long)(max / unit));
        return weir_section_bad(err, where, key, want);
    }
    *ret = n;
    return 0;
}

int weir_section_price(const json_t *section, const char *where, const char *key, int64_t *ret_micro, struct weir_err *err)
{
    const json_t *v = json_object_get(section, key);
    char text[64];
    char currency[WEIR_CURRENCY_SIZE];
    int64_t micro;
    if (v == NULL) {
        return 0;
    }
    if (as_text(v, text, sizeof text) && weir_parse_money(weir_sv_of(text), &micro, currency, NULL) == 0 && currency[0] != '\0') {
        return weir_section_bad(err, where, key, "must be a number; 'currency' beside it says what prices are in");
    }
    if (!as_text(v, text, sizeof text) || weir_parse_decimal(weir_sv_of(text), 6, &micro, NULL) < 0 || micro <= 0 || micro > WEIR_PRICE_MAX_MICRO) {
        return weir_section_bad(err, where, key, "must be a price per hour above 0");
    }
    *ret_micro = micro;
    return 0;
}

int weir_section_currency(const json_t *section, const char *where, char ret[static 4], struct weir_err *err)
{
    const json_t *v = json_object_get(section, "currency");
    char text[8] = "";
    if (v == NULL) {
        return 0;
    }
    if (!as_text(v, text, sizeof text) || !weir_currency_is_known(text)) {
        return weir_section_bad(err, where, "currency", "must be the code of a currency in three capital letters: EUR");
    }
    memcpy(ret, text, sizeof text / 2);
    return 0;
}

int weir_section_text(const json_t *section, const char *where, const char *key, char *ret, size_t size, struct weir_err *err)
{
    const json_t *v = json_object_get(section, key);
    char text[PATH_BYTES_MAX];
    if (v == NULL) {
        return 0;
    }
    if (!as_text(v, text, sizeof text) || text[0] == '\0' || strlen(text) >= size) {
        char want[64];
        (void)snprintf(want, sizeof want, "must be a text of 1 to %zu bytes", size - 1);
        return weir_section_bad(err, where, key, want);
    }
    memcpy(ret, text, strlen(text) + 1);
    return 0;
}

int weir_section_names(const json_t *section, const char *where, const char *key, char *ret, size_t size, size_t max, size_t *ret_n,
                       struct weir_err *err)
{
    const json_t *v = json_object_get(section, key);
    if (v == NULL) {
        return 0;
    }
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    if ((!json_is_array(v) && !json_is_string(v)) || n > max) {
        char want[64];
        (void)snprintf(want, sizeof want, "must be a list of at most %zu names", max);
        return weir_section_bad(err, where, key, want);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_is_array(v) ? json_array_get(v, i) : v;
        if (!json_is_string(e) || json_string_length(e) == 0 || json_string_length(e) >= size) {
            char want[64];
            (void)snprintf(want, sizeof want, "each must be a name of 1 to %zu bytes", size - 1);
            return weir_section_bad(err, where, key, want);
        }
        memcpy(ret + i * size, json_string_value(e), json_string_length(e) + 1);
    }
    *ret_n = n;
    return 0;
}

bool weir_section_may_send(const char *url)
{
    return (strncmp(url, "https://", 8) == 0 && url[8] != '\0') || (strncmp(url, "http://", 7) == 0 && weir_url_is_loopback(url));
}

int weir_section_endpoint(const json_t *section, const char *where, const char *key, char *ret, size_t size, struct weir_err *err)
{
    int r = weir_section_text(section, where, key, ret, size, err);
    if (r < 0 || ret[0] == '\0') {
        return r;
    }
    size_t n = strlen(ret);
    if (ret[n - 1] == '/') {
        ret[--n] = '\0';
    }
    if (!weir_section_may_send(ret)) {
        return weir_section_bad(err, where, key, "must be an https:// address (http:// only to this host): credentials are sent there");
    }
    return 0;
}

/* ---- secrets ---- */

const char *weir_section_env(const struct weir_provider_env *penv, const char *name)
{
    const char *v = penv->getenv == NULL ? NULL : penv->getenv(name);
    return v == NULL || v[0] == '\0' ? NULL : v;
}

bool weir_section_path(const struct weir_provider_env *penv, const char *path, char *ret, size_t size)
{
    bool at_home = strncmp(path, "~/", 2) == 0;
    const char *home = at_home ? weir_section_env(penv, "HOME") : "";
    if (home == NULL) {
        return false;
    }
    int n = snprintf(ret, size, "%s%s", home, at_home ? path + 1 : path);
    return n >= 0 && (size_t)n < size;
}

static int read_secret_file(const char *path, char **ret, struct weir_err *err)
{
    struct stat st;
    if (stat(path, &st) == 0 && (st.st_mode & S_IWOTH) != 0) {
        return weir_fail(err, -WEIR_ECONFIG, "%s: others may write it: chmod 600 it", path);
    }
    char *text = NULL;
    size_t n = 0;
    int r = weir_file_read(path, SECRET_BYTES_MAX, &text, &n, err);
    if (r < 0) {
        return r == -WEIR_ENOTFOUND ? r : -WEIR_ECONFIG;
    }
    struct weir_sv s = weir_sv_trim((struct weir_sv){text, n});
    bool fine = s.n > 0 && memchr(s.p, '\0', s.n) == NULL;
    *ret = fine ? weir_strndup(s.p, s.n) : NULL;
    explicit_bzero(text, n);
    free(text);
    return fine ? 0 : weir_fail(err, -WEIR_ECONFIG, "%s: is empty or not text", path);
}

int weir_section_secret(const json_t *section, const char *where, const char *key, const struct weir_provider_env *penv, const char *const *env,
                        const char *const *files, char **ret, struct weir_err *err)
{
    char key_file[64];
    char path[PATH_BYTES_MAX];
    (void)snprintf(key_file, sizeof key_file, "%s_file", key);
    const char *given = json_string_value(json_object_get(section, key_file));
    if (json_object_get(section, key_file) != NULL && given == NULL) {
        return weir_section_bad(err, where, key_file, "must be the name of a file");
    }
    if (given != NULL) {
        int r = weir_section_path(penv, given, path, sizeof path) ? read_secret_file(path, ret, err) : weir_fail(err, -WEIR_ECONFIG, "%s: HOME is not known", given);
        return r < 0 ? weir_fail_prefix(err, -WEIR_ECONFIG, "%s.%s", where, key_file) : 0;
    }
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        const char *v = weir_section_env(penv, env[i]);
        if (v != NULL) {
            *ret = weir_strdup(v);
            return 0;
        }
    }
    for (size_t i = 0; files != NULL && files[i] != NULL; i++) {
        if (weir_section_path(penv, files[i], path, sizeof path)) {
            int r = read_secret_file(path, ret, err);
            if (r != -WEIR_ENOTFOUND) {
                return r < 0 ? weir_fail_prefix(err, r, "%s", where) : 0;
            }
        }
    }
    struct weir_str places = WEIR_STR_INIT(256);
    weir_str_addf(&places, "'%s' in the configuration", key_file);
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        weir_str_addf(&places, ", the variable %s", env[i]);
    }
    for (size_t i = 0; files != NULL && files[i] != NULL; i++) {
        weir_str_addf(&places, ", the file %s", files[i]);
    }
    int failed = weir_fail(err, -WEIR_ENOTFOUND, "%s: no %s: looked for %s", where, key, weir_str_cstr(&places));
    weir_str_release(&places);
    return failed;
}
