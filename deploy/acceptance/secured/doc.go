// Package secured checks what the services promise about servers that demand TLS and credentials, on
// servers that do. Its test starts them with docker compose, with certificates of its own, and needs
// TEST_SECURED=1 (make test-secured).
package secured
