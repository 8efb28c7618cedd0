/* One time step of an RNN, GRU or LSTM of any depth, for N texts: the native kernel.
 *
 * It does the arithmetic of RecurrentStepper (steppers/recurrent.py, which explains it) on the
 * arrays that were prepared there:
 *
 *     N texts · V vocabulary · H width · G gates · L layers
 *     table   (V, G)          what a token adds to the gates of the first layer
 *     weight  (H, M)          of each layer; M = G + the number of gates (or logits) above it
 *     out     (N, M)          h times weight, plus bias: r for the layer itself, then the next input
 *     memory  (N, H)          the cell c of an LSTM, the output h of a GRU
 *
 * Weights are floats, or whole numbers from -127 to 127 with a scale for each column. The caller
 * has checked every size. Nothing is allocated, and nothing is kept from one call to the next.
 *
 * Plain C that the compiler vectorises, compiled once for each set of instructions below; only the
 * product of whole numbers is written by hand. Each column of a product is summed in one order, so
 * a text comes out the same, to the last bit, alone or among others.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define X86 1
#endif

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

enum { ABI = 2 };                          /* changes with the structures below */
enum { BASELINE, AVX2, AVX512 };           /* sets of instructions */
enum { TANH, RELU, GRU, LSTM };            /* cells */
enum { PANEL = 64 };                       /* columns of packed weights that are stored together */
enum { TILE = 512 };                       /* columns that several texts multiply in turn */

struct layer {
    int64_t columns;       /* M */
    const float *weight;   /* (H, M), or NULL */
    const float *bias;     /* (M) */
    const int8_t *packed;  /* (M / 64, H / 4, 64, 4), rounded up, or NULL */
    const float *scales;   /* (M), rounded up to 64: a packed number is so much */
    const int32_t *sums;   /* (M), rounded up to 64: 128 times the sum of a packed column */
    float *out;            /* (N, M) */
    float *memory;         /* (N, H), or NULL */
};

struct session {
    int64_t level, cell, texts, vocab, width, gates, depth;
    const int64_t *ids;          /* (N) */
    const float *table;          /* (V, G) */
    const struct layer *layers;  /* (L) */
    float *x;                    /* (N, G) the gates, overwritten */
    float *h;                    /* (N, H) the output of the layer, overwritten */
    int8_t *rounded;             /* (N, H), H rounded up to 4 */
    float *units;                /* (N) what 1 stands for in a row of it */
};

/* Functions of one number ------------------------------------------------------------------- */

/* exp(x) for x in [-20, 20], to about 1e-7: 2^n times a polynomial. NaN stays NaN. */
INLINE float exponential(float x) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
    float shifted = x * 1.44269504f + magic;
    float n = shifted - magic;
    float rest = x - n * 0.693359375f + n * 2.12194440e-4f; /* ln 2 in two parts */
    float y = 1.0f / 720;
    y = y * rest + 1.0f / 120;
    y = y * rest + 1.0f / 24;
    y = y * rest + 1.0f / 6;
    y = y * rest + 0.5f;
    y = y * rest + 1.0f;
    y = y * rest + 1.0f;
    int32_t bits;
    memcpy(&bits, &shifted, 4);
    bits = (int32_t)((uint32_t)bits << 23) + 0x3f800000; /* n in the exponent of a float */
    float power;
    memcpy(&power, &bits, 4);
    return y * power;
}

INLINE float tangent(float x) {
    x = x > 10.0f ? 10.0f : x;
    x = x < -10.0f ? -10.0f : x;
    float e = exponential(2.0f * x);
    return (e - 1.0f) / (e + 1.0f);
}

/* Cells: from x (N, G) and r, to h; the gates and their factors are those of recurrent.py ------ */

INLINE void lstm(int64_t n, const float *restrict x, const float *restrict r, float *restrict c,
                 float *restrict h) {
    for (int64_t j = 0; j < n; j++) {
        float input = tangent(x[j] + r[j]) + 1.0f;
        float forget = tangent(x[n + j] + r[n + j]) + 1.0f;
        float output = tangent(x[2 * n + j] + r[2 * n + j]) + 1.0f;
        float candidate = tangent(x[3 * n + j] + r[3 * n + j]);
        c[j] = 0.5f * (c[j] * forget + input * candidate);
        h[j] = tangent(c[j]) * output;
    }
}

INLINE void gru(int64_t n, const float *restrict x, const float *restrict r,
                float *restrict state, float *restrict h) {
    for (int64_t j = 0; j < n; j++) {
        float reset = tangent(x[j] + r[j]) + 1.0f;
        float update = tangent(x[n + j] + r[n + j]) + 1.0f;
        float content = tangent(x[2 * n + j] + reset * r[2 * n + j]);
        state[j] = 0.5f * (state[j] - content) * update + content;
        h[j] = state[j];
    }
}

INLINE void elman(int64_t n, const float *restrict x, const float *restrict r, int relu,
                  float *restrict h) {
    if (relu) {
        for (int64_t j = 0; j < n; j++) {
            float sum = x[j] + r[j];
            h[j] = sum < 0.0f ? 0.0f : sum; /* NaN stays NaN */
        }
    } else {
        for (int64_t j = 0; j < n; j++) h[j] = tangent(x[j] + r[j]);
    }
}

/* Products of floats ---------------------------------------------------------------------------- */

/* out (columns) += h (8) times 8 rows of the weights, which are m apart */
INLINE void add_rows(int64_t columns, int64_t m, const float *restrict h,
                     const float *restrict weight, float *restrict out) {
    const float *restrict w0 = weight, *restrict w1 = w0 + m, *restrict w2 = w1 + m;
    const float *restrict w3 = w2 + m, *restrict w4 = w3 + m, *restrict w5 = w4 + m;
    const float *restrict w6 = w5 + m, *restrict w7 = w6 + m;
    float h0 = h[0], h1 = h[1], h2 = h[2], h3 = h[3], h4 = h[4], h5 = h[5], h6 = h[6], h7 = h[7];
    for (int64_t j = 0; j < columns; j++) {
        float sum = out[j] + h0 * w0[j];
        sum += h1 * w1[j];
        sum += h2 * w2[j];
        sum += h3 * w3[j];
        sum += h4 * w4[j];
        sum += h5 * w5[j];
        sum += h6 * w6[j];
        sum += h7 * w7[j];
        out[j] = sum;
    }
}

INLINE void add_row(int64_t columns, float h, const float *restrict weight, float *restrict out) {
    for (int64_t j = 0; j < columns; j++) out[j] += h * weight[j];
}

INLINE void product(const struct session *s, const struct layer *layer) {
    int64_t m = layer->columns, tile = s->texts > 1 ? TILE : m;
    for (int64_t i = 0; i < s->texts; i++) memcpy(layer->out + i * m, layer->bias, m * 4);
    for (int64_t from = 0; from < m; from += tile) {
        int64_t columns = m - from < tile ? m - from : tile, k = 0;
        for (; k + 8 <= s->width; k += 8) {
            for (int64_t i = 0; i < s->texts; i++) {
                add_rows(columns, m, s->h + i * s->width + k, layer->weight + k * m + from,
                         layer->out + i * m + from);
            }
        }
        for (; k < s->width; k++) {
            for (int64_t i = 0; i < s->texts; i++) {
                add_row(columns, s->h[i * s->width + k], layer->weight + k * m + from,
                        layer->out + i * m + from);
            }
        }
    }
}

/* Products of whole numbers: sums (64) of h (4 * quads) times a panel of packed weights ------------ */

typedef void panel_product(int64_t quads, const int8_t *h, const int8_t *packed,
                           const int32_t *sums, int32_t *total);

static void panel_baseline(int64_t quads, const int8_t *h, const int8_t *packed,
                           const int32_t *sums, int32_t *total) {
    (void)sums;
    memset(total, 0, PANEL * 4);
    for (int64_t k = 0; k < quads; k++, h += 4, packed += 4 * PANEL) {
        for (int j = 0; j < PANEL; j++) {
            const int8_t *w = packed + 4 * j;
            total[j] += h[0] * w[0] + h[1] * w[1] + h[2] * w[2] + h[3] * w[3];
        }
    }
}

#ifdef X86
/* Four numbers of h at once, repeated along a vector */
INLINE int32_t quad(const int8_t *h) {
    int32_t four;
    memcpy(&four, h, 4);
    return four;
}

/* maddubs takes one factor without sign: |h| with the sign of h moved to w. 127 * 127 * 2 fits. */
__attribute__((target("avx2"))) static void panel_avx2(int64_t quads, const int8_t *h,
                                                       const int8_t *packed, const int32_t *sums,
                                                       int32_t *total) {
    (void)sums;
    __m256i sum[PANEL / 8], ones = _mm256_set1_epi16(1);
    for (int j = 0; j < PANEL / 8; j++) sum[j] = _mm256_setzero_si256();
    for (int64_t k = 0; k < quads; k++, packed += 4 * PANEL) {
        __m256i four = _mm256_set1_epi32(quad(h + 4 * k)), size = _mm256_abs_epi8(four);
        for (int j = 0; j < PANEL / 8; j++) {
            __m256i w = _mm256_loadu_si256((const __m256i *)packed + j);
            __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(w, four));
            sum[j] = _mm256_add_epi32(sum[j], _mm256_madd_epi16(pairs, ones));
        }
    }
    for (int j = 0; j < PANEL / 8; j++) _mm256_storeu_si256((__m256i *)total + j, sum[j]);
}

/* dpbusd takes one factor without sign: h + 128, whose part of the sum is then subtracted. */
__attribute__((target("avx512f,avx512vnni"))) static void panel_avx512(
    int64_t quads, const int8_t *h, const int8_t *packed, const int32_t *sums, int32_t *total) {
    __m512i sum[PANEL / 16];
    for (int j = 0; j < PANEL / 16; j++) sum[j] = _mm512_setzero_si512();
    for (int64_t k = 0; k < quads; k++, packed += 4 * PANEL) {
        __m512i four = _mm512_set1_epi32(quad(h + 4 * k) ^ (int32_t)0x80808080);
        for (int j = 0; j < PANEL / 16; j++) {
            sum[j] = _mm512_dpbusd_epi32(sum[j], four,
                                         _mm512_loadu_si512((const __m512i *)packed + j));
        }
    }
    for (int j = 0; j < PANEL / 16; j++) {
        __m512i extra = _mm512_loadu_si512((const __m512i *)sums + j);
        _mm512_storeu_si512((__m512i *)total + j, _mm512_sub_epi32(sum[j], extra));
    }
}
#endif

/* Round h (n) to whole numbers from -127 to 127, and return what 1 stands for. */
INLINE float round_output(int64_t n, const float *restrict h, int8_t *restrict rounded) {
    int32_t bits, most = 0; /* without its sign, the bits of a float grow with it; NaN is largest */
    for (int64_t j = 0; j < n; j++) {
        memcpy(&bits, h + j, 4);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    float largest;
    memcpy(&largest, &most, 4);
    float factor = largest > 1e-30f && largest < 1e30f ? 127.0f / largest : 0.0f;
    for (int64_t j = 0; j < n; j++) {
        float magic = h[j] * factor + 12582912.0f; /* rounds; the whole number is in the low bits */
        memcpy(&bits, &magic, 4);
        rounded[j] = (int8_t)bits;
    }
    return largest / 127.0f;
}

INLINE void packed_product(const struct session *s, const struct layer *layer,
                           panel_product *panel) {
    int64_t m = layer->columns, quads = (s->width + 3) / 4;
    for (int64_t i = 0; i < s->texts; i++) {
        s->units[i] = round_output(s->width, s->h + i * s->width, s->rounded + i * 4 * quads);
    }
    for (int64_t from = 0; from < m; from += PANEL) { /* a panel stays in the fastest cache */
        int64_t columns = m - from < PANEL ? m - from : PANEL;
        const int8_t *packed = layer->packed + from * 4 * quads;
        const float *restrict bias = layer->bias + from, *restrict scales = layer->scales + from;
        for (int64_t i = 0; i < s->texts; i++) {
            int32_t total[PANEL];
            panel(quads, s->rounded + i * 4 * quads, packed, layer->sums + from, total);
            float *restrict out = layer->out + i * m + from, unit = s->units[i];
            for (int64_t j = 0; j < columns; j++) out[j] = bias[j] + total[j] * (scales[j] * unit);
        }
    }
}

/* The step -------------------------------------------------------------------------------------- */

INLINE void step(const struct session *s, panel_product *panel) {
    int64_t n = s->width, g = s->gates;
    for (int64_t i = 0; i < s->texts; i++) { /* an id that is out of range is the nearest in it */
        int64_t id = s->ids[i] < 0 ? 0 : s->ids[i] >= s->vocab ? s->vocab - 1 : s->ids[i];
        memcpy(s->x + i * g, s->table + id * g, g * 4);
    }
    const float *x = s->x;
    int64_t apart = g; /* the distance of one text's x from the next one's */
    for (int64_t k = 0; k < s->depth; k++) {
        const struct layer *layer = s->layers + k;
        for (int64_t i = 0; i < s->texts; i++) {
            const float *xi = x + i * apart, *r = layer->out + i * layer->columns;
            float *h = s->h + i * n;
            if (s->cell == LSTM) lstm(n, xi, r, layer->memory + i * n, h);
            else if (s->cell == GRU) gru(n, xi, r, layer->memory + i * n, h);
            else elman(n, xi, r, s->cell == RELU, h);
        }
        if (layer->packed) packed_product(s, layer, panel);
        else product(s, layer);
        x = layer->out + g;
        apart = layer->columns;
    }
}

static void step_baseline(const struct session *s) { step(s, panel_baseline); }

#ifdef X86
__attribute__((target("avx2,fma"))) static void step_avx2(const struct session *s) {
    step(s, panel_avx2);
}

__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma"))) static void
step_avx512(const struct session *s) {
    step(s, panel_avx512);
}
#endif

/* What Python calls --------------------------------------------------------------------------- */

/* Return the version of the structures, and the size of the larger one. */
EXPORT int32_t textrnn_abi(void) { return ABI * 1000 + (int32_t)sizeof(struct session); }

/* Return the best set of instructions that this processor has. */
EXPORT int32_t textrnn_level(void) {
#ifdef X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        return AVX512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return AVX2;
#endif
    return BASELINE;
}

/* Read one token of each text: overwrite out and memory of every layer. */
EXPORT void textrnn_step(const struct session *s) {
#ifdef X86
    if (s->level == AVX512) step_avx512(s);
    else if (s->level == AVX2) step_avx2(s);
    else
#endif
        step_baseline(s);
}
