/* SPDX-License-Identifier: Apache-2.0 */
/* What EC2's answers mean: error codes as classes, items as instances. */

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "cloud/ec2/ec2_priv.h"

enum { AGAIN = 1, STALE = 2, SKEWED = 4 };

/* Codes whose class does not follow from the HTTP status. From the EC2 API reference, "Error codes". */
static const struct {
    const char *code;
    enum weir_provider_class class;
    int flags;
} codes[] = {
    {"InsufficientInstanceCapacity", WEIR_PROVIDER_NO_CAPACITY, 0},
    {"InsufficientCapacity", WEIR_PROVIDER_NO_CAPACITY, 0},
    {"InsufficientHostCapacity", WEIR_PROVIDER_NO_CAPACITY, 0},
    {"InsufficientReservedInstanceCapacity", WEIR_PROVIDER_NO_CAPACITY, 0},
    {"InsufficientFreeAddressesInSubnet", WEIR_PROVIDER_NO_CAPACITY, 0},
    {"ReservationCapacityExceeded", WEIR_PROVIDER_NO_CAPACITY, 0},
    {"UnfulfillableCapacity", WEIR_PROVIDER_NO_CAPACITY, 0},
    {"SpotMaxPriceTooLow", WEIR_PROVIDER_NO_CAPACITY, 0},
    {"Unsupported", WEIR_PROVIDER_NO_CAPACITY, 0}, /* the type is not offered in that zone */
    {"MaxSpotInstanceCountExceeded", WEIR_PROVIDER_QUOTA, 0},
    {"VcpuLimitExceeded", WEIR_PROVIDER_QUOTA, 0},
    {"InstanceLimitExceeded", WEIR_PROVIDER_QUOTA, 0},
    {"VolumeLimitExceeded", WEIR_PROVIDER_QUOTA, 0},
    {"MaxIOPSLimitExceeded", WEIR_PROVIDER_QUOTA, 0},
    {"RequestLimitExceeded", WEIR_PROVIDER_THROTTLED, AGAIN},
    {"Throttling", WEIR_PROVIDER_THROTTLED, AGAIN},
    {"ThrottlingException", WEIR_PROVIDER_THROTTLED, AGAIN},
    {"ThrottledException", WEIR_PROVIDER_THROTTLED, AGAIN},
    {"RequestThrottled", WEIR_PROVIDER_THROTTLED, AGAIN},
    {"RequestThrottledException", WEIR_PROVIDER_THROTTLED, AGAIN},
    {"TooManyRequestsException", WEIR_PROVIDER_THROTTLED, AGAIN},
    {"BandwidthLimitExceeded", WEIR_PROVIDER_THROTTLED, AGAIN},
    {"EC2ThrottledException", WEIR_PROVIDER_THROTTLED, AGAIN},
    {"SlowDown", WEIR_PROVIDER_THROTTLED, AGAIN},
    {"PriorRequestNotComplete", WEIR_PROVIDER_THROTTLED, AGAIN},
    /* the token has made a machine, of which nothing is told: it is looked for */
    {"IdempotentParameterMismatch", WEIR_PROVIDER_UNKNOWN, 0},
    {"RequestExpired", WEIR_PROVIDER_REFUSED, SKEWED | STALE},
    {"RequestTimeTooSkewed", WEIR_PROVIDER_REFUSED, SKEWED},
    {"SignatureDoesNotMatch", WEIR_PROVIDER_REFUSED, SKEWED | STALE},
    {"InvalidSignatureException", WEIR_PROVIDER_REFUSED, SKEWED | STALE},
    {"AuthFailure", WEIR_PROVIDER_REFUSED, SKEWED | STALE},
    {"ExpiredToken", WEIR_PROVIDER_REFUSED, STALE},
    {"ExpiredTokenException", WEIR_PROVIDER_REFUSED, STALE},
    {"InvalidClientTokenId", WEIR_PROVIDER_REFUSED, STALE},
    {"UnrecognizedClientException", WEIR_PROVIDER_REFUSED, STALE},
};

static void take_code(struct weir_cloud_verdict *v, const char *code, const char *message)
{
    (void)snprintf(v->code, sizeof v->code, "%s", code);
    (void)snprintf(v->text, sizeof v->text, "%.60s: %.180s", code, message);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(codes); i++) {
        if (weir_streq(codes[i].code, code)) {
            v->class = codes[i].class;
            v->again = (codes[i].flags & AGAIN) != 0;
            v->stale = (codes[i].flags & STALE) != 0;
            v->skewed = (codes[i].flags & SKEWED) != 0;
            return;
        }
    }
}

/* {"__type": "com.amazonaws.ssm#ParameterNotFound", "message": "..."} of the JSON services. */
static void classify_json(const struct weir_http_reply *reply, struct weir_cloud_verdict *v)
{
    json_t *j = json_loadb(reply->body.p, reply->body.n, 0, NULL);
    const char *type = json_string_value(json_object_get(j, "__type"));
    const char *message = json_string_value(json_object_get(j, "message"));
    message = message == NULL ? json_string_value(json_object_get(j, "Message")) : message;
    if (type != NULL) {
        const char *hash = strrchr(type, '#');
        take_code(v, hash == NULL ? type : hash + 1, message == NULL ? "" : message);
    }
    json_decref(j);
}

/* Is an answer of success what the service sends, whole? A proxy's page, or a piece, is neither success nor failure. */
static bool is_whole(const struct weir_http_reply *reply)
{
    if (strstr(reply->content_type, "html") != NULL) {
        return false;
    }
    struct weir_sv body = weir_sv_trim(reply->body);
    return strstr(reply->content_type, "xml") == NULL || (body.n > 9 && memcmp(body.p + body.n - 9, "Response>", 9) == 0);
}

void ec2_classify(void *provider, const struct weir_http_reply *reply, struct weir_cloud_verdict *v)
{
    (void)provider;
    if (v->class == WEIR_PROVIDER_OK) {
        if (!is_whole(reply)) {
            *v = (struct weir_cloud_verdict){.class = WEIR_PROVIDER_UNKNOWN, .again = true, .text = "the answer is not one of AWS, or not whole"};
        }
        return;
    }
    if (reply->body.n > 0 && reply->body.p[0] == '{') {
        classify_json(reply, v);
        return;
    }
    struct weir_arena arena = {0};
    const struct weir_xml *root = NULL;
    if (weir_xml_parse(reply->body, &arena, &root, NULL) == 0) {
        const struct weir_xml *e = weir_xml_at(root, "Errors/Error"); /* EC2 */
        e = e == NULL ? weir_xml_at(root, "Error") : e;               /* STS */
        if (weir_xml_text(e, "Code")[0] != '\0') {
            take_code(v, weir_xml_text(e, "Code"), weir_xml_text(e, "Message"));
        }
    }
    weir_arena_release(&arena);
}

struct weir_wall ec2_time(const char *text)
{
    struct weir_wall t = {0};
    return text[0] != '\0' && weir_parse_time(weir_sv_of(text), &t, NULL) == 0 ? t : (struct weir_wall){0};
}

const char *ec2_tag(const struct weir_xml *item, const char *key)
{
    const struct weir_xml *set = weir_xml_at(item, "tagSet");
    for (const struct weir_xml *t = set == NULL ? NULL : set->first; t != NULL; t = t->next) {
        if (weir_streq(weir_xml_text(t, "key"), key)) {
            return weir_xml_text(t, "value");
        }
    }
    return "";
}

/* "User initiated (2026-11-22 11:52:20 GMT)" */
static struct weir_wall time_in_reason(const char *reason)
{
    enum { STAMP_BYTES = 19 };
    const char *open = strchr(reason, '(');
    struct weir_wall t = {0};
    if (open == NULL || strlen(open) <= STAMP_BYTES || weir_parse_time((struct weir_sv){open + 1, STAMP_BYTES}, &t, NULL) < 0) {
        return (struct weir_wall){0};
    }
    return t;
}

bool ec2_read_instance(const struct weir_xml *item, const char *region, struct weir_instance *ret)
{
    const char *id = weir_xml_text(item, "instanceId");
    uint64_t code = 0;
    if (id[0] == '\0' || strlen(region) + strlen(id) + 2 > sizeof ret->id) {
        return false;
    }
    if (weir_parse_u64(weir_sv_of(weir_xml_text(item, "instanceState/code")), 0, 65535, &code, NULL) < 0) {
        code = 16; /* it is there, and costs as far as anybody knows */
    }
    *ret = (struct weir_instance){.launched = ec2_time(weir_xml_text(item, "launchTime"))};
    (void)snprintf(ret->id, sizeof ret->id, "%s/%s", region, id);
    (void)snprintf(ret->token, sizeof ret->token, "%s", ec2_tag(item, EC2_TAG_TOKEN));
    switch (code & 255) { /* the high byte is internal to EC2 */
    case 0:
        ret->state = WEIR_INSTANCE_PENDING;
        break;
    case 32:
        ret->state = WEIR_INSTANCE_STOPPING;
        break;
    case 48:
        ret->state = WEIR_INSTANCE_GONE;
        ret->ended = time_in_reason(weir_xml_text(item, "reason"));
        if (ret->ended.us != 0 && ret->ended.us < ret->launched.us) {
            ret->ended = ret->launched; /* the reason has whole seconds */
        }
        break;
    default:
        ret->state = WEIR_INSTANCE_RUNNING; /* one that was stopped by hand keeps its disks, and costs: it is there */
        break;
    }
    /* Server.SpotInstanceTermination, Server.InsufficientInstanceCapacity, ...: of EC2's own will */
    ret->reclaimed = strncmp(weir_xml_text(item, "stateReason/code"), "Server.", 7) == 0;
    return true;
}
