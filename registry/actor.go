package registry

import "context"

type actorKey struct{}

// WithActor says who deletes with the context, for the tags' history.
func WithActor(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, name)
}

// actor is who does; "" if nobody said.
func actor(ctx context.Context) string {
	name, _ := ctx.Value(actorKey{}).(string)
	return name
}
