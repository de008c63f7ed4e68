// tests/backends/test_philox.c: the random numbers that every backend must draw.
#include <math.h>
#include <tenon/philox.h>

#include "tests/tn_test.h"

// Source: Random123 1.14, tests/kat_vectors, lines "philox4x32 10".
static void blocks_are_those_of_random123(void)
{
    static const struct {
        uint32_t counter[4], key[2], block[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t c[4];
        for (int j = 0; j < 4; j++) c[j] = known[i].counter[j];
        tn_philox4x32(known[i].key[0], known[i].key[1], c);
        for (int j = 0; j < 4; j++) CU_ASSERT_EQUAL(c[j], known[i].block[j]);
    }
}

// The third vector's words, laid out by the rule: block number, counter low, counter high, 0.
static void key_and_counter_are_laid_out_by_the_rule(void)
{
    uint32_t w[4], c[4] = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0};
    tn_philox4x32(0xa4093822, 0x299f31d0, c);
    tn_philox_block(0x299f31d0a4093822u, 0x13198a2e85a308d3u, 0x243f6a88, w);
    for (int j = 0; j < 4; j++) CU_ASSERT_EQUAL(w[j], c[j]);
}

// Key 0, counter 0: block 0 is the first vector.
static void uniforms_come_from_their_words(void)
{
    CU_ASSERT_EQUAL(tn_philox_uniform_f32(0, 0, 0), 0x6627e8 / 16777216.0f);
    CU_ASSERT_EQUAL(tn_philox_uniform_f32(0, 0, 3), 0x9b00db / 16777216.0f);
    CU_ASSERT_EQUAL(tn_philox_uniform_f64(0, 0, 0),
                    (double)(0x6627e8d5e169c58du >> 11) / 9007199254740992.0);
    CU_ASSERT_EQUAL(tn_philox_uniform_f64(0, 0, 1),
                    (double)(0xbc57ac4c9b00dbd8u >> 11) / 9007199254740992.0);
    CU_ASSERT(tn_philox_uniform_f32(0, 0, 4) != tn_philox_uniform_f32(0, 0, 0));
    CU_ASSERT(tn_philox_uniform_f32(0, 1, 0) != tn_philox_uniform_f32(0, 0, 0));
    CU_ASSERT(tn_philox_uniform_f32(1, 0, 0) != tn_philox_uniform_f32(0, 0, 0));
}

static void normals_are_box_muller_pairs(void)
{
    const double u = 0x6627e8 / 16777216.0, v = 0xe169c5 / 16777216.0;
    const double r = sqrt(-2 * log(1 - u)), angle = 2 * acos(-1) * v;
    TN_CHECK_NEAR(tn_philox_normal_f32(0, 0, 0), r * cos(angle), 1e-15);
    TN_CHECK_NEAR(tn_philox_normal_f32(0, 0, 1), r * sin(angle), 1e-15);
    TN_CHECK_NEAR(tn_philox_box_muller(0, 0.25, 0), 0, 0);
    TN_CHECK_NEAR(tn_philox_box_muller(1 - exp(-0.5), 0.5, 0), -1, 1e-15);
}

// Mean and variance of n draws, each within five of its standard errors.
static void moments_are_right(void)
{
    enum { N = 40000 };
    double sum = 0, square = 0, normal = 0, normal_square = 0;
    for (uint64_t i = 0; i < N; i++) {
        const double u = tn_philox_uniform_f64(7, 11, i), z = tn_philox_normal_f64(7, 13, i);
        CU_ASSERT(u >= 0 && u < 1);
        sum += u;
        square += (u - 0.5) * (u - 0.5);
        normal += z;
        normal_square += z * z;
    }
    TN_CHECK_NEAR(sum / N, 0.5, 5 * sqrt(1.0 / 12 / N));
    TN_CHECK_NEAR(square / N, 1.0 / 12, 5 * sqrt(1.0 / 180 / N));
    TN_CHECK_NEAR(normal / N, 0, 5 * sqrt(1.0 / N));
    TN_CHECK_NEAR(normal_square / N, 1, 5 * sqrt(2.0 / N));
}

TN_TEST_MAIN({"blocks are those of Random123", blocks_are_those_of_random123},
             {"key and counter are laid out by the rule", key_and_counter_are_laid_out_by_the_rule},
             {"uniforms come from their words", uniforms_come_from_their_words},
             {"normals are Box-Muller pairs", normals_are_box_muller_pairs},
             {"moments are right", moments_are_right})
