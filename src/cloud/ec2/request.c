/* SPDX-License-Identifier: Apache-2.0 */
/* Forms of the query protocol, where they go, and who signs them. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cloud/ec2/ec2_priv.h"
#include "net/uri.h"

enum { FORM_BYTES_MAX = 128 * 1024, VALUE_BYTES_MAX = 512, REPLY_BYTES_MAX = 8 << 20 };

struct weir_str ec2_form(const char *action)
{
    struct weir_str form = WEIR_STR_INIT(FORM_BYTES_MAX);
    weir_str_addf(&form, "Action=%s&Version=" EC2_VERSION, action);
    return form;
}

void ec2_form_add(struct weir_str *form, const char *key, const char *value)
{
    weir_str_addf(form, "&%s=", key);
    weir_uri_encode(form, weir_sv_of(value));
}

void ec2_form_addf(struct weir_str *form, const char *key, const char *fmt, ...)
{
    char value[VALUE_BYTES_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    ec2_form_add(form, key, value);
}

bool ec2_is_china(const char *region)
{
    return strncmp(region, "cn-", 3) == 0;
}

const char *ec2_usual_currency(const char *region)
{
    return ec2_is_china(region) ? "CNY" : "USD";
}

void ec2_url(const struct weir_provider *p, const char *service, const char *region, char *ret, size_t size)
{
    const char *suffix = ec2_is_china(region) ? "amazonaws.com.cn" : "amazonaws.com";
    if (p->conf.endpoint[0] != '\0') {
        (void)snprintf(ret, size, "%s/", p->conf.endpoint);
    } else {
        (void)snprintf(ret, size, "https://%s.%s.%s/", service, region, suffix);
    }
}

int ec2_region_index(const struct weir_provider *p, const char *name)
{
    for (size_t i = 0; i < p->conf.n_regions; i++) {
        if (weir_streq(p->conf.region[i], name)) {
            return (int)i;
        }
    }
    return -1;
}

int ec2_sign(void *provider, const struct weir_http_call *call, struct weir_wall now, struct weir_cloud_headers *h, const char **ret_bearer,
             struct weir_err *err)
{
    struct weir_provider *p = provider;
    (void)ret_bearer;
    struct weir_sv service = weir_sv_of(h->scope);
    struct weir_sv first = weir_sv_cut(&service, '/');
    char region[WEIR_REGION_SIZE];
    char name[32];
    (void)snprintf(region, sizeof region, "%.*s", WEIR_SV_ARG(first));
    (void)snprintf(name, sizeof name, "%.*s", WEIR_SV_ARG(service));
    return weir_sigv4_sign(&p->key, region, name, call, now, h, err);
}

int ec2_send(struct weir_provider *p, const char *region, const char *what, enum weir_cloud_kind kind, unsigned deadline_ms, const struct weir_str *form,
             weir_cloud_fn *done, void (*drop)(void *ctx), void *ctx)
{
    static const struct weir_http_header type = {"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"};
    char url[320];
    char scope[EC2_SCOPE_SIZE];
    if (form->overflowed) {
        return weir_cloud_refuse(p->cloud, what, WEIR_PROVIDER_REFUSED, "the request would be too large", done, drop, ctx);
    }
    ec2_url(p, "ec2", region, url, sizeof url);
    (void)snprintf(scope, sizeof scope, "%s/ec2", region);
    const struct weir_cloud_request r = {.what = what, .kind = kind, .method = "POST", .url = url, .header = &type, .n_headers = 1,
                                         .body = weir_str_sv(form), .scope = scope, .deadline_ms = deadline_ms, .reply_bytes_max = REPLY_BYTES_MAX};
    return weir_cloud_send(p->cloud, &r, done, drop, ctx);
}
