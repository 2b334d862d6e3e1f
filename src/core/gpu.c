/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in GPU table.
 *
 * Memory and board power: vendors' data sheets; power as in mlco2/impact's GPU table
 * (github.com/mlco2/impact, data/gpus.csv) where that has the card. For K80 and M60, which carry
 * two devices on a board, the figures are those of one device.
 *
 * Idle power: the "min watts" of cloud-carbon-footprint's AwsFootprintEstimationConstants for T4
 * (8 W), A10G (18 W), V100 (35 W) and A100 (46 W); the others by the same share of board power,
 * about 11 %.
 *
 * Throughput: the geometric mean of two ratios to a V100-SXM2: dense FP16 tensor throughput (125
 * TFLOPS for the V100) and memory bandwidth (900 GB/s), both from the data sheets; cards without
 * tensor units count with their plain FP16 or FP32 rate, whichever is higher. Training is bound
 * partly by one and partly by the other. It is a starting point for comparing offers, corrected by
 * what jobs achieve.
 */
#include "core/gpu.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

enum { NAME_MAX_BYTES = 48, KEY_SIZE = NAME_MAX_BYTES + 1, NEUTRAL_THROUGHPUT = 1000 };

#define GIB(n) ((n)*1024U)

static const struct weir_gpu_model builtin[] = {
    /* name, family, MiB, watts, idle watts, throughput */
    {"K80", "K80", GIB(12), 150, 16, 94},
    {"M60", "M60", GIB(8), 150, 16, 83},
    {"P4", "P4", GIB(8), 75, 8, 97},
    {"P40", "P40", GIB(24), 250, 28, 191},
    {"P100", "P100", GIB(16), 250, 28, 349},
    {"V100", "V100", GIB(16), 300, 35, 1000},
    {"V100-32GB", "V100", GIB(32), 300, 35, 1000},
    {"T4", "T4", GIB(16), 70, 8, 430},
    {"T4g", "T4g", GIB(16), 70, 8, 430},
    {"A2", "A2", GIB(16), 60, 7, 253},
    {"A10", "A10", GIB(24), 150, 16, 816},
    {"A10G", "A10G", GIB(24), 150, 18, 611},
    {"A16", "A16", GIB(16), 63, 7, 253},
    {"A30", "A30", GIB(24), 165, 18, 1170},
    {"A40", "A40", GIB(48), 300, 33, 962},
    {"A100", "A100", GIB(40), 400, 46, 2077},
    {"A100-80GB", "A100", GIB(80), 400, 46, 2378},
    {"L4", "L4", GIB(24), 72, 8, 568},
    {"L40", "L40", GIB(48), 300, 33, 1179},
    {"L40S", "L40S", GIB(48), 350, 38, 1667},
    {"H100", "H100", GIB(80), 700, 77, 5427},
    {"H100-PCIE", "H100", GIB(80), 350, 38, 3666},
    {"H100-NVL", "H100", GIB(94), 400, 44, 5406},
    {"GH200", "GH200", GIB(96), 700, 77, 5930},
    {"H200", "H200", GIB(141), 700, 77, 6496},
    {"H20", "H20", GIB(96), 400, 44, 2294},
    {"B200", "B200", GIB(180), 1000, 110, 12649},
    {"GB200", "GB200", GIB(186), 1200, 132, 13333},
    {"B300", "B300", GIB(288), 1400, 154, 12649},
    {"GB300", "GB300", GIB(288), 1400, 154, 13333},
    {"RTX2080Ti", "RTX2080Ti", GIB(11), 250, 28, 543},
    {"RTX3060", "RTX3060", GIB(12), 170, 19, 286},
    {"RTX3070", "RTX3070", GIB(8), 220, 24, 402},
    {"RTX3080", "RTX3080", GIB(10), 320, 35, 634},
    {"RTX3090", "RTX3090", GIB(24), 350, 38, 769},
    {"RTX4070", "RTX4070", GIB(12), 200, 22, 511},
    {"RTX4080", "RTX4080", GIB(16), 320, 35, 788},
    {"RTX4090", "RTX4090", GIB(24), 450, 50, 1217},
    {"RTX5080", "RTX5080", GIB(16), 360, 40, 980},
    {"RTX5090", "RTX5090", GIB(32), 575, 63, 1827},
    {"RTX4000", "RTX4000", GIB(8), 160, 18, 459},
    {"RTX5000", "RTX5000", GIB(16), 230, 25, 596},
    {"RTX6000", "RTX6000", GIB(24), 260, 29, 883},
    {"RTX8000", "RTX6000", GIB(48), 260, 29, 883},
    {"RTX6000-Ada", "RTX6000-Ada", GIB(48), 300, 33, 1247},
    {"A4000", "A4000", GIB(16), 140, 15, 553},
    {"A5000", "A5000", GIB(24), 230, 25, 871},
    {"A6000", "A6000", GIB(48), 300, 33, 1028},
    {"M4000", "M4000", GIB(8), 120, 13, 67},
    {"P4000", "P4000", GIB(8), 105, 12, 107},
    {"P5000", "P5000", GIB(16), 180, 20, 151},
    {"P6000", "P6000", GIB(24), 250, 28, 220},
    {"RTXPRO4500", "RTXPRO4500", GIB(32), 200, 22, 1002},
    {"RTXPRO6000", "RTXPRO6000", GIB(96), 600, 66, 2674},
    {"Radeon-Pro-V520", "Radeon-Pro-V520", GIB(8), 225, 25, 259},
    {"V710", "V710", GIB(28), 158, 17, 464},
    {"MI50", "MI50", GIB(32), 300, 33, 491},
    {"MI100", "MI100", GIB(32), 300, 33, 1420},
    {"MI210", "MI210", GIB(64), 300, 33, 1623},
    {"MI250X", "MI250X", GIB(128), 560, 62, 3340},
    {"MI300X", "MI300X", GIB(192), 750, 82, 7847},
    {"MI325X", "MI325X", GIB(256), 1000, 110, 8349},
    {"MI355X", "MI355X", GIB(288), 1400, 154, 12789},
};

/* Spellings that the rules of fold() alone do not bring to a canonical name. */
static const struct {
    const char *alias;
    const char *name;
} aliases[] = {
    {"A100-40GB", "A100"},
    {"V100-16GB", "V100"},
    {"P100-16GB", "P100"},
    {"H100-80GB", "H100"},
    {"H100-MEGA-80GB", "H100"},
    {"H100-MEGA", "H100"},
    {"H100-94GB", "H100-NVL"},
    {"H100-NVL-94GB", "H100-NVL"},
    {"H100-PCIE-80GB", "H100-PCIE"},
    {"H200-141GB", "H200"},
    {"GH200-96GB", "GH200"},
    {"GH200-480GB", "GH200"},
    {"B200-180GB", "B200"},
    {"B200-192GB", "B200"},
    {"B300-288GB", "B300"},
    {"T4-16GB", "T4"},
    {"L4-24GB", "L4"},
    {"A10-24GB", "A10"},
    {"A10G-24GB", "A10G"},
    {"A30-24GB", "A30"},
    {"A40-48GB", "A40"},
    {"L40S-48GB", "L40S"},
    {"L40-48GB", "L40"},
    {"MI300X-192GB", "MI300X"},
    {"P40-24GB", "P40"},
    {"K80-12GB", "K80"},
    {"RTXA4000", "A4000"},
    {"RTXA5000", "A5000"},
    {"RTXA6000", "A6000"},
    {"A6000-48GB", "A6000"},
    {"RTX-8000-48GB", "RTX8000"},
    {"RTX-PRO-6000-BSE", "RTXPRO6000"},
    {"RTX-PRO-SERVER-6000", "RTXPRO6000"},
    {"RTXPRO6000-96GB", "RTXPRO6000"},
    {"V520", "Radeon-Pro-V520"},
    {"Radeon-Pro-V710", "V710"},
    {"MI250", "MI250X"},
};

/* Words of marketing names that do not tell models apart. */
static const char *const noise[] = {
    "NVIDIA", "TESLA",       "GEFORCE", "QUADRO", "AMD",   "INSTINCT", "GENERATION", "BLACKWELL",
    "SERVER", "WORKSTATION", "EDITION", "HBM2",   "HBM2E", "HBM3",     "HBM3E",      "SXM",
    "SXM2",   "SXM3",        "SXM4",    "SXM5",   "SXM6",  "GPU",      NULL};

struct weir_gpu_table {
    struct weir_gpu_model model[WEIR_GPU_MODELS_MAX];
    size_t n;
    struct weir_interner keys; /* folded spellings */
    uint16_t *model_of_key;    /* by number in keys */
    size_t size_of_keys;
    const char *names[WEIR_GPU_MODELS_MAX + 1];
};

static char upper(char c)
{
    return (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
}

static bool is_separator(char c)
{
    return c == ' ' || c == '-' || c == '_';
}

static bool is_noise(struct weir_sv word)
{
    for (const char *const *w = noise; *w != NULL; w++) {
        if (weir_sv_eq_nocase(word, weir_sv_of(*w))) {
            return true;
        }
    }
    return false;
}

/*
 * Writes the folded form of a name: upper case, without separators and words that tell nothing
 * apart. "PCIe" is kept for the H100 only, whose PCIe card is a much slower one. A name that
 * consists of such words only is kept as it is. False where the name cannot be one.
 */
static bool fold(struct weir_sv name, char key[static KEY_SIZE], size_t *ret_n)
{
    if (name.n == 0 || name.n > NAME_MAX_BYTES || !weir_utf8_is_text(name) ||
        memchr(name.p, '\n', name.n) != NULL || memchr(name.p, '\t', name.n) != NULL) {
        return false;
    }
    size_t n = 0;
    size_t i = 0;
    while (i < name.n) {
        size_t start = i;
        while (i < name.n && !is_separator(name.p[i])) {
            i++;
        }
        struct weir_sv word = {name.p + start, i - start};
        bool pcie = weir_sv_eq_nocase(word, WEIR_SV("PCIE"));
        bool is_h100 = n >= 4 && memcmp(key, "H100", 4) == 0;
        if (!is_noise(word) && (!pcie || is_h100)) {
            for (size_t k = 0; k < word.n; k++) {
                key[n++] = upper(word.p[k]);
            }
        }
        i++;
    }
    for (i = 0; n == 0 && i < name.n; i++) {
        key[i] = upper(name.p[i]);
    }
    *ret_n = n == 0 ? name.n : n;
    return true;
}

static void add_key(struct weir_gpu_table *t, struct weir_sv name, uint16_t model)
{
    char key[KEY_SIZE];
    size_t n = 0;
    bool ok = fold(name, key, &n);
    WEIR_ASSERT(ok);
    uint32_t id = weir_intern(&t->keys, (struct weir_sv){key, n});
    if (id >= t->size_of_keys) {
        size_t size = t->size_of_keys == 0 ? 256 : t->size_of_keys * 2;
        t->model_of_key = weir_realloc(t->model_of_key, size, sizeof *t->model_of_key);
        t->size_of_keys = size;
    }
    t->model_of_key[id] = model;
}

struct weir_gpu_table *weir_gpu_table_new(void)
{
    struct weir_gpu_table *t = weir_alloc(sizeof *t);
    for (; t->n < WEIR_ARRAY_LEN(builtin); t->n++) {
        t->model[t->n] = builtin[t->n];
        add_key(t, weir_sv_of(builtin[t->n].name), (uint16_t)t->n);
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(aliases); i++) {
        uint16_t model = weir_gpu_table_find(t, weir_sv_of(aliases[i].name));
        WEIR_ASSERT(model != WEIR_GPU_MODEL_ANY);
        add_key(t, weir_sv_of(aliases[i].alias), model);
    }
    return t;
}

void weir_gpu_table_free(struct weir_gpu_table *t)
{
    if (t == NULL) {
        return;
    }
    for (size_t i = WEIR_ARRAY_LEN(builtin); i < t->n; i++) {
        /* The names of added models are owned; the table's type has them const for readers. */
        free((void *)(uintptr_t)t->model[i].name);
    }
    weir_interner_release(&t->keys);
    free(t->model_of_key);
    free(t);
}

uint16_t weir_gpu_table_find(const struct weir_gpu_table *t, struct weir_sv name)
{
    char key[KEY_SIZE];
    size_t n;
    struct weir_sv trimmed = weir_sv_trim(name);
    if (!fold(trimmed, key, &n)) {
        return WEIR_GPU_MODEL_ANY;
    }
    uint32_t id = weir_intern_find(&t->keys, (struct weir_sv){key, n});
    return id == UINT32_MAX ? WEIR_GPU_MODEL_ANY : t->model_of_key[id];
}

uint16_t weir_gpu_table_intern(struct weir_gpu_table *t, struct weir_sv name)
{
    struct weir_sv trimmed = weir_sv_trim(name);
    char key[KEY_SIZE];
    size_t n;
    uint16_t known = weir_gpu_table_find(t, trimmed);
    if (known != WEIR_GPU_MODEL_ANY || !fold(trimmed, key, &n) || t->n == WEIR_GPU_MODELS_MAX) {
        return known;
    }
    char *owned = weir_strndup(trimmed.p, trimmed.n);
    t->model[t->n] = (struct weir_gpu_model){
        .name = owned,
        .family = owned,
        .throughput_milli = NEUTRAL_THROUGHPUT,
    };
    add_key(t, trimmed, (uint16_t)t->n);
    return (uint16_t)t->n++;
}

const struct weir_gpu_model *weir_gpu_table_get(const struct weir_gpu_table *t, uint16_t model)
{
    WEIR_ASSERT(model < t->n);
    return &t->model[model];
}

size_t weir_gpu_table_count(const struct weir_gpu_table *t)
{
    return t->n;
}

bool weir_gpu_table_match(const struct weir_gpu_table *t, uint16_t want, uint16_t have)
{
    if (want == WEIR_GPU_MODEL_ANY || want == have) {
        return true;
    }
    if (want >= t->n || have >= t->n) {
        return false;
    }
    const struct weir_gpu_model *w = &t->model[want];
    const struct weir_gpu_model *h = &t->model[have];
    return weir_streq(w->name, w->family) && weir_streq(h->family, w->family) &&
           h->mem_mib >= w->mem_mib;
}

const char *const *weir_gpu_table_names(struct weir_gpu_table *t)
{
    for (size_t i = 0; i < t->n; i++) {
        t->names[i] = t->model[i].name;
    }
    t->names[t->n] = NULL;
    return t->names;
}
