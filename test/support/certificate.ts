/**
 * A certificate of 127.0.0.1 that it signed itself, valid until 2126, and its key, which guards nothing. Made by
 * `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj '/CN=A server of tests'
 * -addext 'subjectAltName=IP:127.0.0.1,DNS:localhost'`.
 */
export const selfSigned = {
  cert: `-----BEGIN CERTIFICATE-----
MIIBqjCCAVGgAwIBAgIUb4ioJzMd2IdN8AP2iXdRDo/YDQIwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRQSBzZXJ2ZXIgb2YgdGVzdHMwIBcNMjYxMTMwMDMxODQzWhgP
MjEyNjExMDYwMzE4NDNaMBwxGjAYBgNVBAMMEUEgc2VydmVyIG9mIHRlc3RzMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjYIwJDGXutd7e/jod98jkKwRs6je9YC5
bn3SHWxYC2XODct57tYs/eTsW8lnEuQeks+7muBVCLKVjzTHlZPEiaNvMG0wHQYD
VR0OBBYEFJz0kKMHzdNPOn9ar/fy0R9aY2AIMB8GA1UdIwQYMBaAFJz0kKMHzdNP
On9ar/fy0R9aY2AIMA8GA1UdEwEB/wQFMAMBAf8wGgYDVR0RBBMwEYcEfwAAAYIJ
bG9jYWxob3N0MAoGCCqGSM49BAMCA0cAMEQCIG6eEJGr4SfdoAYCvgGtESIK5InM
EdQ2pvIm3wpgV1a8AiBTv2w1WX5Ow6rH6jac1UhlzX+MeZX9BLxrPsSqY24+xw==
-----END CERTIFICATE-----
`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgJ/cDQ5gZG5PpGYcJ
o6WCH5Oj29xmQXzrI6uaXn63D0qhRANCAASNgjAkMZe613t7+Oh33yOQrBGzqN71
gLlufdIdbFgLZc4Ny3nu1iz95OxbyWcS5B6Sz7ua4FUIspWPNMeVk8SJ
-----END PRIVATE KEY-----
`,
}
