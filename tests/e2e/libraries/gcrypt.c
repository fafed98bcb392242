/* SPDX-License-Identifier: MIT */
#include "say.h"
#include <gcrypt.h>

int main(void)
{
	gcry_cipher_hd_t cipher;
	gcry_md_hd_t md;
	gcry_mac_hd_t mac;
	char key[32], data[16] = "data", digest[64];

	gcry_check_version(NULL);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	must(!SAY("AES256", gcry_cipher_open, &cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0), "cipher");
	gcry_cipher_close(cipher);
	must(!SAY("3DES", gcry_cipher_open, &cipher, GCRY_CIPHER_3DES, GCRY_CIPHER_MODE_CBC, 0), "cipher");
	gcry_cipher_close(cipher);
	must(!SAY("SHA256", gcry_md_open, &md, GCRY_MD_SHA256, 0), "md");
	gcry_md_close(md);
	SAY("MD5", gcry_md_hash_buffer, GCRY_MD_MD5, digest, data, sizeof(data));
	must(!SAY("HMAC-SHA256", gcry_mac_open, &mac, GCRY_MAC_HMAC_SHA256, 0, NULL), "mac");
	gcry_mac_close(mac);
	must(!SAY("PBKDF2", gcry_kdf_derive, "password", 8, GCRY_KDF_PBKDF2, GCRY_MD_SHA256, "saltsalt", 8, 10,
		  sizeof(key), key),
	     "kdf");
	return 0;
}
