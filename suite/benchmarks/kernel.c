// Masking by the rule of slide 35, and its limit: the same numbers drawn and the same outputs written, nothing decided.
// The generator is sfc64 of Chris Doty-Humphrey's PractRand, seeded as there with one 64-bit number.

#include <stdint.h>

#define BLOCK 512  // tokens at a time: their numbers stay in the first-level cache
#define LINE 8     // tokens in a line of the cache

typedef struct { uint64_t a, b, c, counter; } stream;

static inline uint64_t next(stream *s) {
    uint64_t out = s->a + s->b + s->counter++;
    s->a = s->b ^ (s->b >> 11);
    s->b = s->c + (s->c << 3);
    s->c = ((s->c << 24) | (s->c >> 40)) + out;
    return out;
}

static inline stream seeded(uint64_t seed) {
    stream s = {seed, seed, seed, 1};
    for (int i = 0; i < 12; i++) next(&s);
    return s;
}

// 32 bits for each of BLOCK tokens, in 64-bit lanes like the ids, so that what follows is vectorised.
static inline void draw(stream *s, int64_t *numbers) {
    for (int i = 0; i < BLOCK; i += 2) {
        uint64_t two = next(s);
        numbers[i] = (int64_t)(two & 0xffffffff);
        numbers[i + 1] = (int64_t)(two >> 32);
    }
}

// A token's number decides all: whether it is chosen (below `chosen`; at a probability of 1 that is 2^32, which no number
// reaches), and what becomes of it: a mask (below `masked`), another token (below `replaced`), or itself. Which other
// token, the number's place between the two bounds tells: `scale` is 2^32 * entries / (replaced - masked), rounded down.
// At 15 % there are 64 million such places: of 30,522 entries none is likelier than another by more than 1 in 2,000.
void mask(int64_t n, const int64_t *restrict ids, const int64_t *restrict special, int64_t *restrict inputs,
          int64_t *restrict labels, uint64_t seed, int64_t masked, int64_t replaced, int64_t chosen, int64_t mask_id,
          int64_t scale) {
    stream s = seeded(seed);
    int64_t numbers[BLOCK];
    for (int64_t start = 0; start < n; start += BLOCK) {
        int64_t count = n - start < BLOCK ? n - start : BLOCK;
        int64_t ahead = start + 2 * BLOCK, last = ahead + BLOCK < n ? ahead + BLOCK : n;
        for (int64_t i = ahead; i < last; i += LINE) {  // of a large batch, which no cache holds: a third of its time
            __builtin_prefetch(ids + i);
            __builtin_prefetch(special + i);
        }
        draw(&s, numbers);
        for (int64_t i = 0; i < count; i++) {  // no branch: whether 15 % are chosen cannot be foreseen
            int64_t id = ids[start + i], number = special[start + i] ? INT64_MAX : numbers[i];
            int64_t word = (int64_t)(((uint64_t)(uint32_t)(number - masked) * (uint32_t)scale) >> 32);
            labels[start + i] = number < chosen ? id : -100;
            inputs[start + i] = number < masked ? mask_id : number < replaced ? word : id;
        }
    }
}

// The limit: what is new in a batch is its inputs and its labels. The numbers are used, or nobody would draw them.
void write_once(int64_t n, int64_t *restrict inputs, int64_t *restrict labels, uint64_t seed) {
    stream s = seeded(seed);
    int64_t numbers[BLOCK];
    for (int64_t start = 0; start < n; start += BLOCK) {
        int64_t count = n - start < BLOCK ? n - start : BLOCK;
        draw(&s, numbers);
        for (int64_t i = 0; i < count; i++) {
            inputs[start + i] = numbers[i];
            labels[start + i] = -100;
        }
    }
}
