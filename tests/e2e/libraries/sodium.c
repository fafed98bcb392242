/* SPDX-License-Identifier: MIT */
#include "say.h"
#include <sodium.h>

int main(void)
{
	unsigned char public[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES];
	unsigned char salt[crypto_pwhash_SALTBYTES] = "salt";

	must(SAY("", sodium_init) >= 0, "init");
	SAY("", crypto_box_keypair, public, secret);
	SAY("", crypto_sign_keypair, public, secret);
	SAY("", crypto_kx_keypair, public, secret);
	must(!SAY("Argon2id", crypto_pwhash, secret, 32, "password", 8, salt, crypto_pwhash_OPSLIMIT_MIN,
		  crypto_pwhash_MEMLIMIT_MIN, crypto_pwhash_ALG_ARGON2ID13),
	     "pwhash");
	return 0;
}
