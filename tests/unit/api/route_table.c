/* SPDX-License-Identifier: Apache-2.0 */

#include "api_fixture.h"
#include "route_table.h"

#include <stdio.h>

#include "base/mem.h"

const char *const route_roles[ROUTE_ROLES] = {"admin", "operator", "finance", "user", "viewer", "agent", "join"};

/* +: all; o: of their own projects; -, or no more letters: not at all. */
static const struct {
    const char *id;
    const char *may; /* by role */
} rows[] = {
    {"submitJob", "+ooo--"},   {"listJobs", "++ooo-"},      {"getJob", "++ooo-"},       {"cancelJob", "++oo--"},
    {"waitJob", "++ooo-"},     {"listTasks", "++ooo-"},     {"explainJob", "++ooo-"},   {"readLog", "+oooo-"},
    {"listHistory", "+++oo-"}, {"listOffers", "++ooo-"},    {"listPools", "++ooo-"},    {"listNodes", "++ooo-"},
    {"listLeases", "++ooo-"},  {"drainNode", "++----"},     {"resumeNode", "++----"},   {"removeNode", "++----"},
    {"endLease", "++----"},    {"auditLeases", "++ooo-"},   {"lookAtLeases", "++----"}, {"downLeases", "++----"},   {"upLeases", "++----"},
    {"checkProviders", "++----"},
       {"listProjects", "+o+oo-"},  {"getProject", "+o+oo-"},   {"setProject", "+-----"},
    {"setMember", "+-----"},   {"removeMember", "+-----"},  {"getBill", "+o+oo-"},      {"checkBill", "+++---"},
    {"listCharges", "+o+oo-"}, {"listRules", "+++---"}, {"addRule", "+-+---"}, {"endRule", "+-+---"}, {"listCloses", "+++---"}, {"closeMonth", "+-+---"}, {"listCorrections", "+++---"}, {"addCorrection", "+-+---"}, {"putInvoiceLines", "+-+---"},
    {"reconcile", "+-+---"},   {"reportReconciliation", "+-+---"}, {"listEvents", "++ooo-"},  {"whoAmI", "++ooo-"},        {"listUsers", "+-----"},    {"setUser", "+-----"},
    {"removeUser", "+-----"},  {"listTokens", "++ooo-"},    {"makeToken", "++ooo-"},    {"revokeToken", "++ooo-"},
    {"listPolicies", "+++---"}, {"getPolicy", "+++---"},   {"setPolicy", "+-----"},    {"removePolicy", "+-----"}, {"testPolicies", "+++---"},
    {"listBudgets", "+++++-"}, {"getBudget", "+++++-"},     {"setBudget", "+-+---"},    {"removeBudget", "+-+---"},
    {"listQuotas", "+++++-"},  {"getQuota", "+++++-"},      {"setQuota", "++----"},     {"removeQuota", "++----"},
    {"listAlerts", "+++oo-"},  {"ackAlert", "+++---"},      {"silenceAlert", "+++---"}, {"closeAlert", "+++---"},
    {"listReceivers", "+++---"}, {"testReceiver", "+++---"},
    {"listAudit", "+-+---"},   {"getStatus", "++ooo-"},     {"getHealth", "+++++++"}, {"listIssuers", "+++++++"},    {"getVersion", "++ooo-"},
    {"getOpenApi", "+++++++"},  {"getMetrics", "+++---"},    {"makeSandboxFault", "++----"},
    {"inviteNode", "+-----"},  {"revokeCertificate", "+-----"}, {"agentCertificate", "+----++"},
    {"agentSync", "+----+"},   {"agentReport", "+----+"},   {"agentLog", "+----+"},     {"agentJoin", "+----+"},
    {"getAgentProgram", "+----++"}, {"getAgentProgramSum", "+----++"},
};

enum route_may route_may(const struct api_route *r, size_t role)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        if (weir_streq(rows[i].id, r->id)) {
            return rows[i].may[role] == '+' ? ROUTE_MAY : rows[i].may[role] == 'o' ? ROUTE_MAY_OWN : ROUTE_MAY_NOT;
        }
    }
    fail_msg("%s %s: tests/unit/api/route_table.c does not say whom it serves", r->method, r->path);
    return ROUTE_MAY_NOT;
}

const char *route_path(const struct api_route *r, const char *job, const char *project, char *buf, size_t size)
{
    const char *p = r->path;
    size_t n = 0;
    while (*p != '\0') {
        if (*p == '{') {
            const char *value = strncmp(p, "{job}", 5) == 0       ? job
                                : strncmp(p, "{node}", 6) == 0    ? "1"
                                : strncmp(p, "{lease}", 7) == 0   ? "3"
                                : strncmp(p, "{user}", 6) == 0    ? "ada"
                                : strncmp(p, "{token}", 7) == 0   ? "0123456789abcdef"
                                : strncmp(p, "{project}", 9) == 0 ? project
                                : strncmp(p, "{budget}", 8) == 0  ? "vision"
                                : strncmp(p, "{rule}", 6) == 0    ? "house"
                                : strncmp(p, "{policy}", 8) == 0  ? "no-spot"
                                : strncmp(p, "{name}", 6) == 0    ? "host7"
                                : strncmp(p, "{quota}", 7) == 0   ? "vision"
                                : strncmp(p, "{alert}", 7) == 0   ? "5"
                                : strncmp(p, "{receiver}", 10) == 0 ? "ops"
                                                                  : NULL;
            if (value == NULL) {
                fail_msg("%s: tests/unit/api/route_table.c has no value for %s", r->path, p);
                return NULL; /* the compiler does not know that this is not reached */
            }
            n += (size_t)snprintf(buf + n, size - n, "%s", value);
            p += strcspn(p, "}") + 1;
        } else {
            buf[n++] = *p++;
        }
    }
    (void)snprintf(buf + n, size - n, "%s",
                   weir_streq(r->id, "agentLog")  ? "?node=1&session=s1&job=12&ordinal=0&attempt=1&offset=0"
                   : weir_streq(r->id, "readLog") ? "?task=0"
                   : weir_streq(r->id, "waitJob") ? "?timeout_s=0"
                   : strncmp(r->id, "getAgentProgram", 15) == 0 ? "?arch=x86_64"
                                                  : "");
    return buf;
}

const char *route_body(const struct api_route *r)
{
    return r->body == NULL                     ? NULL
           : weir_streq(r->body, "JobSpec")    ? "{\"name\":\"a\",\"project\":\"vision\",\"run\":\"true\",\"tags\":{\"team\":\"x\"}}"
           : weir_streq(r->body, "ProjectSet") ? "{\"weight\":100,\"delay_cost\":\"0.25\"}"
           : weir_streq(r->body, "QuotaSet") ? "{\"scope\":\"project:vision\",\"counts\":\"gpus\",\"limit\":\"16\"}"
           : weir_streq(r->body, "BudgetSet")  ? "{\"scope\":\"project:vision\",\"amount\":\"100.00\",\"thresholds\":[\"80:warn\"]}"
           : weir_streq(r->body, "PolicySet")  ? "{\"effect\":\"deny\",\"project\":\"vision\",\"market\":\"spot\"}"
           : weir_streq(r->body, "PolicyTest") ? "{\"project\":\"vision\",\"provider\":\"aws\",\"spot\":true}"
           : weir_streq(r->body, "AlertSilence") ? "{\"for\":\"2h\"}"
           : weir_streq(r->body, "UserSet")    ? "{\"role\":\"user\",\"projects\":{\"vision\":\"owner\"}}"
           : weir_streq(r->body, "MemberSet")  ? "{\"role\":\"user\"}"
           : weir_streq(r->body, "TokenMake")  ? "{\"name\":\"ci\",\"expires\":\"2030-01-01\"}"
           : weir_streq(r->body, "NodeInvite") ? "{\"node\":\"host7\"}"
           : weir_streq(r->body, "CorrectionAdd")
               ? "{\"kind\":\"charge\",\"amount\":\"0.5\",\"node\":1,\"reason\":\"a disk\"}"
           : weir_streq(r->body, "InvoiceLines")
               ? "{\"lines\":[{\"lease\":3,\"line\":\"7\",\"from\":\"2026-11-22T19:00:00Z\",\"to\":\"2026-11-22T20:00:00Z\",\"nano\":5}]}"
           : weir_streq(r->body, "RuleAdd")    ? "{\"kind\":\"markup\",\"percent\":\"8\"}"
           : weir_streq(r->body, "RuleEnd")    ? "{}"
           : weir_streq(r->body, "CloseMonth") ? "{\"month\":\"2026-10\"}"
           : weir_streq(r->body, "Reconcile")  ? "{\"leases\":[3],\"reason\":\"november.csv\"}"
           : weir_streq(r->body, "ReconcileOutcome") ? "{\"reason\":\"november.csv\",\"residual_micro\":5,\"leak_suspects\":[\"i-1\"]}"
           : weir_streq(r->body, "Fault")      ? "{\"what\":\"no_capacity\"}"
                                               : "{\"node\":1}";
}
