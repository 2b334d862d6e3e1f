/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Azure's error codes mean. The code that tells is often not the outer one: details and message are searched too. Codes:
 * the error documentation of the Resource Manager, and what karpenter-provider-azure looks for.
 */

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cloud/azure/azure_priv.h"

static const char *const no_capacity[] = {
    "SkuNotAvailable", "ZonalAllocationFailed", "AllocationFailed", "OverconstrainedZonalAllocationRequest", "OverconstrainedAllocationRequest", NULL,
};
static const char *const quota[] = {
    "QuotaExceeded", "PublicIPCountLimitReached", "PublicIPAddressCountLimitReached", NULL,
};
static const char *const busy[] = {
    "Conflict", "AnotherOperationInProgress", "RetryableError", "TooManyRequests", "OperationPreempted", NULL,
};

static bool is_one_of(const char *code, const char *const *list)
{
    while (*list != NULL && strcasecmp(*list, code) != 0) {
        list++;
    }
    return *list != NULL;
}

enum weir_provider_class azure_class_of(const char *code, const char *text)
{
    if (is_one_of(code, no_capacity)) {
        return WEIR_PROVIDER_NO_CAPACITY;
    }
    if (is_one_of(code, quota) || strcasestr(text, "exceeding approved") != NULL || strcasestr(text, "quota exceeded") != NULL) {
        return WEIR_PROVIDER_QUOTA;
    }
    if (is_one_of(code, busy) || strcasestr(text, "too many requests") != NULL) {
        return WEIR_PROVIDER_THROTTLED;
    }
    return WEIR_PROVIDER_REFUSED;
}

/* Of an error and its details, the one that says most. */
static const json_t *most_telling(const json_t *error)
{
    const json_t *details = json_object_get(error, "details");
    const json_t *best = error;
    for (size_t i = 0; i < json_array_size(details) && azure_class_of(weir_rest_text(best, "code"), weir_rest_text(best, "message")) == WEIR_PROVIDER_REFUSED; i++) {
        const json_t *d = json_array_get(details, i);
        if (azure_class_of(weir_rest_text(d, "code"), weir_rest_text(d, "message")) != WEIR_PROVIDER_REFUSED) {
            best = d;
        }
    }
    return best;
}

void azure_classify(void *ctx, const struct weir_http_reply *reply, struct weir_cloud_verdict *v)
{
    (void)ctx;
    if (v->class == WEIR_PROVIDER_OK) {
        return;
    }
    if (reply->status == 412) { /* the machine is there already, from an earlier try: it is looked at */
        *v = (struct weir_cloud_verdict){.class = WEIR_PROVIDER_OK};
        return;
    }
    json_t *body = json_loadb(reply->body.p, reply->body.n, 0, NULL);
    const json_t *error = json_object_get(body, "error");
    if (json_is_string(error)) { /* of the token service */
        (void)snprintf(v->code, sizeof v->code, "%.63s", json_string_value(error));
        (void)snprintf(v->text, sizeof v->text, "%.60s: %.180s", json_string_value(error), weir_rest_text(body, "error_description"));
        v->stale = false;
    } else if (json_is_object(error)) {
        error = most_telling(error);
        (void)snprintf(v->code, sizeof v->code, "%.63s", weir_rest_text(error, "code"));
        (void)snprintf(v->text, sizeof v->text, "%.60s: %.180s", weir_rest_text(error, "code"), weir_rest_text(error, "message"));
        enum weir_provider_class class = azure_class_of(v->code, weir_rest_text(error, "message"));
        if (class != WEIR_PROVIDER_REFUSED && v->class == WEIR_PROVIDER_REFUSED) {
            v->class = class;
            v->again = class == WEIR_PROVIDER_THROTTLED;
        }
    }
    json_decref(body);
}
