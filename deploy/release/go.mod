module github.com/telltale-iot/telltale/deploy/release

go 1.26.0
