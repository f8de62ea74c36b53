//go:build integration

package s3

import (
	"testing"

	"github.com/longshore-registry/longshore/internal/s3suite"
)

func TestAbilities(t *testing.T) {
	s3suite.Abilities(t, func(t testing.TB, url, accessKey, secretKey string) s3suite.Driver {
		c := at(url, accessKey, secretKey)
		c.Prefix = "some/folder"
		return open(t, c)
	})
}
