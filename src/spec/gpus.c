/* SPDX-License-Identifier: Apache-2.0 */
/* The accelerator syntax, shared by --gpus, `accelerators` and Slurm's --gres. */
#include "spec/spec.h"

#include "base/parse.h"
#include "spec/spec_priv.h"

static bool all_digits(struct weir_sv s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
    }
    return s.n > 0;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_alphanumeric(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9');
}

static bool is_name_char(char c)
{
    return is_alphanumeric(c) || c == '-' || c == '_' || c == '.' || c == ' ';
}

/* "40GB+" or "40GB": any model with at least so much memory. */
static bool parse_memory(struct weir_sv name, uint32_t *ret_mib)
{
    struct weir_sv size = name;
    if (size.n > 0 && size.p[size.n - 1] == '+') {
        size.n--;
    }
    bool has_unit = size.n > 2 && (size.p[size.n - 1] == 'B' || size.p[size.n - 1] == 'b');
    uint64_t bytes;
    if (!has_unit || weir_parse_bytes(size, 1, &bytes, NULL) != 0 || bytes == 0 ||
        mib_of_bytes(bytes) > UINT32_MAX) {
        return false;
    }
    *ret_mib = (uint32_t)mib_of_bytes(bytes);
    return true;
}

static int parse_one(struct weir_sv text,
                     struct weir_gpu_table *gpus,
                     struct weir_gpu_wish *ret,
                     uint32_t *ret_mem_mib,
                     struct weir_err *err)
{
    struct weir_sv count = weir_sv_trim(text);
    struct weir_sv name = weir_sv_trim(weir_sv_cut(&count, ':'));
    bool has_count = count.p != NULL;
    uint16_t model = WEIR_GPU_MODEL_ANY;
    if (!has_count && all_digits(name)) {
        count = name;
        has_count = true;
    } else if (weir_sv_eq_nocase(name, WEIR_SV("any")) || weir_sv_eq_nocase(name, WEIR_SV("gpu"))) {
        model = WEIR_GPU_MODEL_ANY;
    } else if (!parse_memory(name, ret_mem_mib)) {
        bool good = name.n > 0 && name.n <= GPU_NAME_MAX && is_alphanumeric(name.p[0]);
        bool has_letter = false; /* else it is a number that went wrong */
        for (size_t i = 0; i < name.n; i++) {
            good = good && is_name_char(name.p[i]);
            has_letter = has_letter || is_letter(name.p[i]);
        }
        good = good && has_letter;
        if (!good) {
            return weir_fail(err, -WEIR_EINVAL,
                             "'%.*s' is not a GPU such as A100:8, A100-80GB or 2",
                             text.n > 60 ? 60 : (int)text.n, text.p);
        }
        if (name.n > 3 && weir_sv_eq_nocase((struct weir_sv){name.p, 3}, WEIR_SV("tpu"))) {
            return weir_fail(err, -WEIR_EUNSUPPORTED,
                             "'%.*s': TPUs are not supported; ask for a GPU", WEIR_SV_ARG(name));
        }
        /* the rest of the table is for GPUs that there are: a request may name anything */
        model = weir_gpu_table_count(gpus) < GPU_MODELS_ASKED_MAX ? weir_gpu_table_intern(gpus, name) : weir_gpu_table_find(gpus, name);
        if (model == WEIR_GPU_MODEL_ANY) {
            return weir_fail(
                err, -WEIR_ELIMIT,
                "GPU '%.*s' is one unknown model too many; see 'weir offers' for the known",
                WEIR_SV_ARG(name));
        }
    }
    uint64_t n = 1;
    if (has_count) {
        int r = weir_parse_u64(weir_sv_trim(count), 1, WEIR_NODE_GPUS_MAX, &n, err);
        if (r == -WEIR_EOVERFLOW) {
            return weir_fail(err, -WEIR_EOVERFLOW,
                             "%.*s GPUs in '%.*s': a node has 1 to %d; spread more over num_nodes",
                             count.n > 20 ? 20 : (int)count.n, count.p,
                             text.n > 60 ? 60 : (int)text.n, text.p, WEIR_NODE_GPUS_MAX);
        }
        if (r != 0) {
            return weir_fail_prefix(err, r, "GPU count of '%.*s'", text.n > 60 ? 60 : (int)text.n,
                                    text.p);
        }
    }
    *ret = (struct weir_gpu_wish){model, (uint16_t)n};
    return 0;
}

int weir_spec_parse_gpus(struct weir_sv text,
                         struct weir_gpu_table *gpus,
                         struct weir_request *r,
                         struct weir_err *err)
{
    struct weir_gpu_wish wish[WEIR_ALTERNATIVES_MAX] = {0};
    uint32_t n = 0;
    uint32_t mem_mib = 0;
    struct weir_sv rest = weir_sv_trim(text);
    if (rest.n == 0) {
        return weir_fail(err, -WEIR_EINVAL, "no GPU is named; write A100:8, 2 (any model) or none");
    }
    bool none = weir_sv_eq_nocase(rest, WEIR_SV("none")) || weir_sv_eq(rest, WEIR_SV("0"));
    while (!none && rest.p != NULL) {
        if (n == WEIR_ALTERNATIVES_MAX) {
            return weir_fail(err, -WEIR_ELIMIT, "at most %d alternative GPUs are allowed",
                             WEIR_ALTERNATIVES_MAX);
        }
        int code = parse_one(weir_sv_cut(&rest, ','), gpus, &wish[n], &mem_mib, err);
        if (code != 0) {
            return code;
        }
        n++;
    }
    if (mem_mib > 0 && n > 1) {
        return weir_fail(err, -WEIR_EINVAL,
                         "a GPU given by its memory ('%.*s') cannot be one of several",
                         text.n > 60 ? 60 : (int)text.n, text.p);
    }
    memcpy(r->alternative, wish, sizeof wish);
    r->alternatives = n;
    r->alternatives_ordered = false;
    if (mem_mib > 0) {
        r->gpu_mem_mib_min = mem_mib;
    }
    return 0;
}
