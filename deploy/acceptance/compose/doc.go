// Package compose checks what deploy/README.md says of `make up`: what .env may contain, and that whatever
// keeps the containers from becoming healthy is one line that says what to do. The tests that start containers need
// Docker, the images (make images) and TEST_COMPOSE=1 (make test-compose).
package compose
