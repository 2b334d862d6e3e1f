/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenAPI 3.0 document, written from the route table and the table of shapes. */
#include <stdio.h>

#include "api/api_priv.h"
#include "base/mem.h"

static void ref_to(struct weir_json *j, const char *schema)
{
    char buf[96];
    (void)snprintf(buf, sizeof buf, "#/components/schemas/%s", schema);
    weir_json_object(j);
    weir_json_kv_cstr(j, "$ref", buf);
    weir_json_end(j);
}

static void words_json(struct weir_json *j, api_word_fn *word, unsigned n, bool or_null)
{
    weir_json_key(j, "enum");
    weir_json_array(j);
    for (unsigned i = 0; i < n; i++) {
        weir_json_cstr(j, word(i));
    }
    if (or_null) {
        weir_json_null(j);
    }
    weir_json_end(j);
}

static void scalar(struct weir_json *j, enum api_type type)
{
    switch (type) {
    case API_STRING:
        weir_json_kv_cstr(j, "type", "string");
        return;
    case API_TIME:
        weir_json_kv_cstr(j, "type", "string");
        weir_json_kv_cstr(j, "format", "date-time");
        return;
    case API_UINT:
        weir_json_kv_cstr(j, "type", "integer");
        weir_json_kv_cstr(j, "format", "int64");
        weir_json_kv_u64(j, "minimum", 0);
        return;
    case API_INT:
        weir_json_kv_cstr(j, "type", "integer");
        weir_json_kv_cstr(j, "format", "int64");
        return;
    case API_BOOL:
        weir_json_kv_cstr(j, "type", "boolean");
        return;
    case API_REF:
    case API_LIST:
    case API_STRINGS:
    case API_UINTS:
    case API_MAP_STRING:
    case API_MAP_UINT:
    case API_OBJECT:
        return;
    }
}

static void array_of(struct weir_json *j, enum api_type type)
{
    weir_json_kv_cstr(j, "type", "array");
    weir_json_key(j, "items");
    weir_json_object(j);
    scalar(j, type);
    weir_json_end(j);
}

static void map_of(struct weir_json *j, enum api_type type)
{
    weir_json_kv_cstr(j, "type", "object");
    weir_json_key(j, "additionalProperties");
    weir_json_object(j);
    scalar(j, type);
    weir_json_end(j);
}

static void field_json(struct weir_json *j, const struct api_field *f)
{
    bool or_null = (f->flags & API_NULL) != 0;
    weir_json_key(j, f->name);
    if (f->type == API_REF && !or_null) {
        ref_to(j, f->ref);
        return;
    }
    weir_json_object(j);
    switch (f->type) {
    case API_STRING:
    case API_TIME:
    case API_INT:
    case API_UINT:
    case API_BOOL:
        scalar(j, f->type);
        break;
    case API_REF:
        weir_json_key(j, "allOf");
        weir_json_array(j);
        ref_to(j, f->ref);
        weir_json_end(j);
        break;
    case API_LIST:
        weir_json_kv_cstr(j, "type", "array");
        weir_json_key(j, "items");
        ref_to(j, f->ref);
        break;
    case API_STRINGS:
        array_of(j, API_STRING);
        break;
    case API_UINTS:
        array_of(j, API_UINT);
        break;
    case API_MAP_STRING:
        map_of(j, API_STRING);
        break;
    case API_MAP_UINT:
        map_of(j, API_UINT);
        break;
    case API_OBJECT:
        weir_json_kv_cstr(j, "type", "object");
        break;
    }
    if (f->word != NULL) {
        words_json(j, f->word, f->words, or_null);
    }
    if (or_null) {
        weir_json_kv_bool(j, "nullable", true);
    }
    if (f->summary != NULL) {
        weir_json_kv_cstr(j, "description", f->summary);
    }
    weir_json_end(j);
}

static void schema_json(struct weir_json *j, const struct api_schema *s)
{
    bool has_required = false;
    weir_json_key(j, s->name);
    weir_json_object(j);
    weir_json_kv_cstr(j, "type", "object");
    weir_json_kv_cstr(j, "description", s->summary);
    weir_json_key(j, "properties");
    weir_json_object(j);
    for (const struct api_field *f = s->field; f->name != NULL; f++) {
        field_json(j, f);
        has_required = has_required || (f->flags & API_OPTIONAL) == 0;
    }
    weir_json_end(j);
    if (has_required) {
        weir_json_key(j, "required");
        weir_json_array(j);
        for (const struct api_field *f = s->field; f->name != NULL; f++) {
            if ((f->flags & API_OPTIONAL) == 0) {
                weir_json_cstr(j, f->name);
            }
        }
        weir_json_end(j);
    }
    weir_json_kv_bool(j, "additionalProperties", s->open);
    weir_json_end(j);
}

static void param_schema(struct weir_json *j, const struct api_param *p)
{
    weir_json_key(j, "schema");
    weir_json_object(j);
    switch (p->type) {
    case API_PARAM_UINT:
        weir_json_kv_cstr(j, "type", "integer");
        weir_json_kv_cstr(j, "format", "int64");
        weir_json_kv_u64(j, "minimum", p->min);
        weir_json_kv_u64(j, "maximum", p->max);
        break;
    case API_PARAM_BOOL:
        weir_json_kv_cstr(j, "type", "boolean");
        break;
    case API_PARAM_TEXT:
        weir_json_kv_cstr(j, "type", "string");
        weir_json_kv_u64(j, "minLength", p->min);
        weir_json_kv_u64(j, "maxLength", p->max);
        break;
    case API_PARAM_TIME:
        weir_json_kv_cstr(j, "type", "string");
        weir_json_kv_cstr(j, "format", "date-time");
        break;
    case API_PARAM_WORDS:
        weir_json_kv_cstr(j, "type", "array");
        weir_json_kv_u64(j, "minItems", 1);
        weir_json_key(j, "items");
        weir_json_object(j);
        weir_json_kv_cstr(j, "type", "string");
        words_json(j, p->word, p->words, false);
        weir_json_end(j);
        break;
    }
    weir_json_end(j);
}

static void params_json(struct weir_json *j, const struct api_param *param, const char *in)
{
    for (const struct api_param *p = param; p->name != NULL; p++) {
        weir_json_object(j);
        weir_json_kv_cstr(j, "name", p->name);
        weir_json_kv_cstr(j, "in", in);
        weir_json_kv_bool(j, "required", p->is_required);
        if (p->type == API_PARAM_WORDS) {
            weir_json_kv_cstr(j, "style", "form");
            weir_json_kv_bool(j, "explode", false);
        }
        weir_json_kv_cstr(j, "description", p->summary);
        param_schema(j, p);
        weir_json_end(j);
    }
}

static void body_json(struct weir_json *j, const struct api_route *r)
{
    bool is_raw = strchr(r->body, '/') != NULL;
    weir_json_key(j, "requestBody");
    weir_json_object(j);
    weir_json_kv_bool(j, "required", true);
    weir_json_key(j, "content");
    weir_json_object(j);
    weir_json_key(j, is_raw ? r->body : "application/json");
    weir_json_object(j);
    weir_json_key(j, "schema");
    if (is_raw) {
        weir_json_object(j);
        weir_json_kv_cstr(j, "type", "string");
        weir_json_kv_cstr(j, "format", "binary");
        weir_json_end(j);
    } else {
        ref_to(j, r->body);
    }
    weir_json_end(j);
    weir_json_end(j);
    weir_json_end(j);
}

static void list_schema(struct weir_json *j, const char *item)
{
    weir_json_object(j);
    weir_json_kv_cstr(j, "type", "object");
    weir_json_key(j, "required");
    weir_json_array(j);
    weir_json_cstr(j, "items");
    weir_json_cstr(j, "next");
    weir_json_end(j);
    weir_json_key(j, "properties");
    weir_json_object(j);
    weir_json_key(j, "items");
    weir_json_object(j);
    weir_json_kv_cstr(j, "type", "array");
    weir_json_key(j, "items");
    ref_to(j, item);
    weir_json_end(j);
    weir_json_key(j, "next");
    weir_json_object(j);
    weir_json_kv_cstr(j, "type", "string");
    weir_json_kv_bool(j, "nullable", true);
    weir_json_kv_cstr(j, "description", "cursor of the next page; null: there is none");
    weir_json_end(j);
    weir_json_end(j);
    weir_json_end(j);
}

static void content(struct weir_json *j, const char *type)
{
    weir_json_key(j, type);
    weir_json_object(j);
    weir_json_key(j, "schema");
}

/* The body of a success; streams have their own media type beside the plain form. */
static void success_json(struct weir_json *j, int status, const char *text, const char *reply, bool is_list,
                         bool is_stream)
{
    char buf[8];
    (void)snprintf(buf, sizeof buf, "%d", status);
    weir_json_key(j, buf);
    weir_json_object(j);
    weir_json_kv_cstr(j, "description", text);
    weir_json_key(j, "content");
    weir_json_object(j);
    bool is_text = strchr(reply, '/') != NULL;
    content(j, is_text ? reply : "application/json");
    if (is_text) {
        weir_json_object(j);
        weir_json_kv_cstr(j, "type", "string");
        weir_json_end(j);
    } else if (is_list) {
        list_schema(j, reply);
    } else {
        ref_to(j, reply);
    }
    weir_json_end(j);
    if (is_stream) {
        content(j, "application/x-ndjson");
        weir_json_object(j);
        weir_json_kv_cstr(j, "type", "string");
        weir_json_kv_cstr(j, "description", "one object a line");
        weir_json_end(j);
        weir_json_end(j);
    }
    weir_json_end(j);
    weir_json_end(j);
}

static void error_json(struct weir_json *j, const char *status, const char *text)
{
    weir_json_key(j, status);
    weir_json_object(j);
    weir_json_kv_cstr(j, "description", text);
    weir_json_key(j, "content");
    weir_json_object(j);
    content(j, "application/json");
    ref_to(j, "Error");
    weir_json_end(j);
    weir_json_end(j);
    weir_json_end(j);
}

/* Has it a parameter that is looked up for those who see only some? */
static bool names_something(const struct api_route *r)
{
    for (const struct api_param *p = r->param; p->name != NULL; p++) {
        if (weir_streq(p->name, "job") || weir_streq(p->name, "project")) {
            return true;
        }
    }
    return false;
}

static void responses_json(struct weir_json *j, const struct api_route *r)
{
    weir_json_key(j, "responses");
    weir_json_object(j);
    success_json(j, r->status, r->summary, r->reply, r->is_list, weir_streq(r->id, "listEvents"));
    if (weir_streq(r->id, "submitJob")) {
        success_json(j, 200, "What a dry run found", "DryRun", false, false);
    }
    error_json(j, "400", "A parameter or the body is malformed or unknown");
    if (r->role != API_ROLE_NONE) {
        error_json(j, "401", "A token is needed");
    }
    error_json(j, "403", "The role may not do this, or the request comes from a foreign web page");
    if ((r->errors & API_NOT_FOUND) != 0 || r->path_param[0].name != NULL || names_something(r)) {
        error_json(j, "404", "There is no such object");
    }
    error_json(j, "405", "The path takes other methods; Allow lists them");
    if ((r->errors & API_CONFLICT) != 0) {
        error_json(j, "409", "Not possible in this state");
    }
    error_json(j, "413", "The body or the answer is over a limit");
    if (r->body != NULL) {
        error_json(j, "415", "The body is of another media type");
    }
    if ((r->errors & API_IMPOSSIBLE) != 0) {
        error_json(j, "422", "Nothing that exists or can be rented fits");
    }
    if ((r->errors & API_UNAVAILABLE) != 0) {
        error_json(j, "503", "Not available now; try again");
    }
    error_json(j, "default", "Any other error");
    weir_json_end(j);
}

/* "Roles: admin, operator; in their own projects finance, user, viewer." */
static void roles_json(struct weir_json *j, const struct api_route *r)
{
    static const char *const words[] = {[API_REACH_OWN] = "in their own projects ", [API_REACH_WHOLE] = "where they are in every project ",
                                        [API_REACH_ALL] = ""};
    struct weir_str s = WEIR_STR_INIT(512);
    weir_str_adds(&s, r->role == API_ROLE_NONE ? "Anybody." : "Roles: ");
    const char *between = "";
    for (int reach = API_REACH_ALL; reach > API_REACH_NO && r->role != API_ROLE_NONE; reach--) {
        bool first = true;
        for (int role = WEIR_ROLE_MAX - 1; role > WEIR_ROLE_NONE; role--) {
            if ((int)api_access[r->role].reach[role] == reach) {
                weir_str_addf(&s, "%s%s%s", first ? between : ", ", first ? words[reach] : "", weir_role_name((enum weir_role)role));
                between = "; ";
                first = false;
            }
        }
    }
    weir_str_adds(&s, r->role == API_ROLE_NONE ? "" : ".");
    weir_json_cstr(j, weir_str_cstr(&s));
    weir_str_release(&s);
}

static void operation_json(struct weir_json *j, const struct api_route *r)
{
    static const char *const methods[][2] = {{"GET", "get"}, {"POST", "post"}, {"PUT", "put"}, {"DELETE", "delete"}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(methods); i++) {
        if (weir_streq(r->method, methods[i][0])) {
            weir_json_key(j, methods[i][1]);
        }
    }
    weir_json_object(j);
    weir_json_kv_cstr(j, "operationId", r->id);
    weir_json_kv_cstr(j, "summary", r->summary);
    weir_json_key(j, "description");
    roles_json(j, r);
    weir_json_key(j, "tags");
    weir_json_array(j);
    weir_json_cstr(j, r->tag);
    weir_json_end(j);
    if (r->path_param[0].name != NULL || r->param[0].name != NULL) {
        weir_json_key(j, "parameters");
        weir_json_array(j);
        params_json(j, r->path_param, "path");
        params_json(j, r->param, "query");
        weir_json_end(j);
    }
    if (r->body != NULL) {
        body_json(j, r);
    }
    weir_json_key(j, "security");
    weir_json_array(j);
    if (r->role != API_ROLE_NONE) {
        weir_json_object(j); /* without a token: a process of the broker's own user */
        weir_json_end(j);
        weir_json_object(j);
        weir_json_key(j, "bearer");
        weir_json_array(j);
        weir_json_end(j);
        weir_json_end(j);
    }
    weir_json_end(j);
    responses_json(j, r);
    weir_json_end(j);
}

static bool is_first_of_path(const struct api_route *r)
{
    for (const struct api_route *before = api_routes; before < r; before++) {
        if (weir_streq(before->path, r->path)) {
            return false;
        }
    }
    return true;
}

static void paths_json(struct weir_json *j)
{
    weir_json_key(j, "paths");
    weir_json_object(j);
    for (const struct api_route *r = api_routes; r->method != NULL; r++) {
        if (!is_first_of_path(r)) {
            continue;
        }
        weir_json_key(j, r->path);
        weir_json_object(j);
        for (const struct api_route *same = r; same->method != NULL; same++) {
            if (weir_streq(same->path, r->path)) {
                operation_json(j, same);
            }
        }
        weir_json_end(j);
    }
    weir_json_end(j);
}

static void tags_json(struct weir_json *j)
{
    static const char *const tags[][2] = {
        {"jobs", "What users submit, and what became of it"},
        {"nodes", "Pools and machines"},
        {"cloud", "Offers and leases"},
        {"money", "Projects and the bill"},
        {"events", "What happened"},
        {"broker", "The broker itself"},
        {"agent", "What agents call"},
    };
    weir_json_key(j, "tags");
    weir_json_array(j);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(tags); i++) {
        weir_json_object(j);
        weir_json_kv_cstr(j, "name", tags[i][0]);
        weir_json_kv_cstr(j, "description", tags[i][1]);
        weir_json_end(j);
    }
    weir_json_end(j);
}

void weir_api_openapi(struct weir_str *out)
{
    struct weir_json j = weir_json_begin(out);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "openapi", "3.0.3");
    weir_json_key(&j, "info");
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "title", "weir");
    weir_json_kv_cstr(&j, "version", WEIR_VERSION);
    weir_json_kv_cstr(&j, "description",
                      "Runs GPU work on owned machines first, the overflow on rented ones, and bills every second. "
                      "docs/api/rest.md says more.");
    weir_json_key(&j, "license");
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "name", "Apache-2.0");
    weir_json_kv_cstr(&j, "url", "https://www.apache.org/licenses/LICENSE-2.0");
    weir_json_end(&j);
    weir_json_end(&j);
    tags_json(&j);
    paths_json(&j);
    weir_json_key(&j, "components");
    weir_json_object(&j);
    weir_json_key(&j, "schemas");
    weir_json_object(&j);
    for (const struct api_schema *s = api_schemas; s->name != NULL; s++) {
        schema_json(&j, s);
    }
    weir_json_end(&j);
    weir_json_key(&j, "securitySchemes");
    weir_json_object(&j);
    weir_json_key(&j, "bearer");
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "type", "http");
    weir_json_kv_cstr(&j, "scheme", "bearer");
    weir_json_kv_cstr(&j, "description", "A process of the broker's own user needs none on a loopback address.");
    weir_json_end(&j);
    weir_json_end(&j);
    weir_json_end(&j);
    weir_json_end(&j);
}
