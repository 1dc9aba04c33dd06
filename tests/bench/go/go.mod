module sub2api.bench

go 1.19
