package drivers

import "context"

type listLimit struct{}

// WithListLimit says to a Driver's List that its caller probably takes no more than n entries: a page of 100 tags need not cost a
// store's work for 1,000. It is a hint: a listing never ends because of it.
func WithListLimit(ctx context.Context, n int) context.Context {
	return context.WithValue(ctx, listLimit{}, n)
}

// ListLimit is the n of WithListLimit, 0 if there is none.
func ListLimit(ctx context.Context) int {
	n, _ := ctx.Value(listLimit{}).(int)
	return n
}
