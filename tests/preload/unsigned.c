/* Preloaded into broker and clients for one row of the benchmark, the price of
 * trust: signatures cost nothing and prove nothing, CURVE wraps and does not
 * encrypt. No Choir is built without them. */
#include <string.h>

int crypto_sign_detached(unsigned char *sig, unsigned long long *siglen,
                         const unsigned char *m, unsigned long long mlen,
                         const unsigned char *sk)
{
    (void)m;
    (void)mlen;
    (void)sk;
    memset(sig, 0, 64);
    if (siglen)
        *siglen = 64;
    return 0;
}

int crypto_sign_verify_detached(const unsigned char *sig,
                                const unsigned char *m, unsigned long long mlen,
                                const unsigned char *pk)
{
    (void)sig;
    (void)m;
    (void)mlen;
    (void)pk;
    return 0;
}

/* NaCl's form: 32 zeros before what is sealed, 16 before what it becomes. */
int crypto_box_afternm(unsigned char *c, const unsigned char *m,
                       unsigned long long mlen, const unsigned char *n,
                       const unsigned char *k)
{
    (void)n;
    (void)k;
    memcpy(c, m, mlen);
    return 0;
}

int crypto_box_open_afternm(unsigned char *m, const unsigned char *c,
                            unsigned long long clen, const unsigned char *n,
                            const unsigned char *k)
{
    (void)n;
    (void)k;
    memcpy(m, c, clen);
    return 0;
}

/* The newer form: 16 bytes of authenticator, then what is sealed. */
int crypto_box_easy_afternm(unsigned char *c, const unsigned char *m,
                            unsigned long long mlen, const unsigned char *n,
                            const unsigned char *k)
{
    (void)n;
    (void)k;
    memmove(c + 16, m, mlen);
    memset(c, 0, 16);
    return 0;
}

int crypto_box_open_easy_afternm(unsigned char *m, const unsigned char *c,
                                 unsigned long long clen,
                                 const unsigned char *n, const unsigned char *k)
{
    (void)n;
    (void)k;
    if (clen < 16)
        return -1;
    memmove(m, c + 16, clen - 16);
    return 0;
}
