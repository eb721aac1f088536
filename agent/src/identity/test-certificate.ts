/** For tests: a self-signed certificate for localhost and 127.0.0.1 that is trusted by nobody, with its key. Valid from 2020 to 2120. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export const testCertificateKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgwzZTf70UuaR5WTHk
1Ldpv1fgDtBfu4gOVWt55/tM9TShRANCAAQZInAZhMXOgvgn3g8zjjO+DhubQYUV
scdQGBKQp5icgmoNhgZdsotfv3C3q+VWeHuUdw7LgrmX35OPGSu6ok4u
-----END PRIVATE KEY-----
`

export const testCertificate = `-----BEGIN CERTIFICATE-----
MIIBUjCB+KADAgECAgEBMAoGCCqGSM49BAMCMBkxFzAVBgNVBAMMDnRyaWJ1dGFy
eSB0ZXN0MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAZMRcwFQYD
VQQDDA50cmlidXRhcnkgdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBki
cBmExc6C+CfeDzOOM74OG5tBhRWxx1AYEpCnmJyCag2GBl2yi1+/cLer5VZ4e5R3
DsuCuZffk48ZK7qiTi6jLzAtMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAP
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQDbLLEGNttU1LKbHXLx
Ig1lYObAICLOU9zVRU05WZ1BHQIhALW9wThe7j5r5LhRQ8RLy0d2sLWiUPOenhQM
mkvYI6+n
-----END CERTIFICATE-----
`

/** Writes the certificate as a CA file into `folder`; returns its path. */
export async function testCertificateFile(folder: string): Promise<string> {
  const path = join(folder, 'ca.pem')
  await writeFile(path, testCertificate)
  return path
}
