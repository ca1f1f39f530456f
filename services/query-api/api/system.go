package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/services/query-api/system"
)

// systemState is the answer of getSystem. What nobody knows is null.
type systemState struct {
	At           *string           `json:"at"`
	Version      string            `json:"version"`
	Problems     []string          `json:"problems"`
	Services     []serviceState    `json:"services"`
	Pipeline     []stageState      `json:"pipeline"`
	Topics       []topicState      `json:"topics"`
	Conservation conservationState `json:"conservation"`
	Storage      []storeState      `json:"storage"`
	MQTT         *event.Endpoint   `json:"mqtt"`
}

type serviceState struct {
	Name     string   `json:"name"`
	Instance string   `json:"instance"`
	Version  string   `json:"version"`
	Started  *string  `json:"started"`
	Seen     *string  `json:"seen"`
	Gone     bool     `json:"gone"`
	Ready    bool     `json:"ready"`
	Problems []string `json:"problems"`
}

// stageState is what the instances of a service that run count of a kind of readings.
type stageState struct {
	Service  string           `json:"service"`
	Counts   string           `json:"counts"`
	Received int64            `json:"received_total"`
	Rate     float64          `json:"rate"`
	Outcomes map[string]int64 `json:"outcomes"`
	InFlight int64            `json:"in_flight"`
	AddsUp   bool             `json:"adds_up"`
}

type topicState struct {
	Topic      string       `json:"topic"`
	Partitions *int         `json:"partitions"`
	Groups     []groupState `json:"groups"`
}

type groupState struct {
	Group      string   `json:"group"`
	Partitions int      `json:"partitions"`
	Lag        *int64   `json:"lag"`
	LagSeconds *float64 `json:"lag_seconds"`
}

type conservationState struct {
	AddsUp      *bool   `json:"adds_up"`
	Since       *string `json:"since"`
	Received    int64   `json:"received"`
	Before      int64   `json:"in_flight_before"`
	Stored      int64   `json:"stored"`
	Merged      int64   `json:"merged"`
	Duplicates  int64   `json:"duplicates"`
	DeadLetters int64   `json:"dead_letters"`
	Failed      int64   `json:"failed"`
	InFlight    int64   `json:"in_flight"`
	Tolerance   int64   `json:"tolerance"`
	Detail      string  `json:"detail"`
}

type storeState struct {
	Name      string   `json:"name"`
	Bytes     int64    `json:"bytes"`
	PerDay    *int64   `json:"bytes_per_day"`
	Free      *int64   `json:"free_bytes"`
	UntilFull *float64 `json:"days_until_full"`
}

// getSystem says how the services are, and whether what they count adds up. Many may ask at the same time.
func (a *API) getSystem(_ context.Context, _ *request) (*answer, error) {
	return a.share(&a.system, timeouts.StoreRequest, func(ctx context.Context) (*answer, error) {
		state, err := a.System.State(ctx)
		if err != nil {
			return nil, err
		}
		return encodeAny(http.StatusOK, showSystem(state))
	})
}

func showSystem(state system.State) systemState {
	s := systemState{
		At: timeOrNull(state.ReadAt), Version: daemon.Version(), Problems: []string{}, Services: []serviceState{},
		Pipeline: stages(state.Instances), Topics: topics(state.Instances),
		Conservation: showConservation(state.Conservation), Storage: []storeState{},
	}
	if state.Err != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("Kafka does not answer: this is what services said %v ago.", time.Since(state.ReadAt).Round(time.Second)))
	}
	for _, i := range state.Instances {
		s.Services = append(s.Services, serviceState{
			Name: i.Service, Instance: i.Instance, Version: i.Version, Started: timeOrNull(i.Started), Seen: timeOrNull(i.Seen),
			Gone: i.Gone, Ready: i.Ready && !i.Gone, Problems: append([]string{}, i.Problems...),
		})
		if i.MQTT != nil && (s.MQTT == nil || !i.Gone) {
			s.MQTT = i.MQTT
		}
		for _, store := range i.Stores {
			if !i.Gone && !slices.ContainsFunc(s.Storage, func(other storeState) bool { return other.Name == store.Name }) {
				s.Storage = append(s.Storage, showStore(store))
			}
		}
	}
	return s
}

func showStore(s event.Store) storeState {
	state := storeState{Name: s.Name, Bytes: s.Bytes, PerDay: known(s.BytesPerDay), Free: known(s.FreeBytes)}
	if s.DaysUntilFull >= 0 {
		state.UntilFull = &s.DaysUntilFull
	}
	return state
}

func showConservation(c system.Conservation) conservationState {
	return conservationState{
		AddsUp: c.AddsUp, Since: timeOrNull(c.Since), Received: c.Received, Before: c.Before, Stored: c.Stored, Merged: c.Merged,
		Duplicates: c.Duplicates, DeadLetters: c.DeadLetters, Failed: c.Failed, InFlight: c.InFlight, Tolerance: c.Tolerance, Detail: c.Detail,
	}
}

// stages adds up what the instances that run count, in the order of a reading's way.
func stages(instances []system.Instance) []stageState {
	all := []stageState{}
	for _, i := range instances {
		if i.Gone {
			continue
		}
		for _, account := range i.Accounts {
			at := slices.IndexFunc(all, func(s stageState) bool { return s.Service == i.Service && s.Counts == account.Name })
			if at < 0 {
				at = len(all)
				all = append(all, stageState{Service: i.Service, Counts: account.Name, Outcomes: map[string]int64{}, AddsUp: true})
			}
			s := &all[at]
			s.Received += account.Received
			s.Rate += account.Rate
			s.InFlight += account.InFlight
			s.AddsUp = s.AddsUp && account.AddsUp()
			for outcome, n := range account.Outcomes {
				s.Outcomes[outcome] += n
			}
		}
	}
	slices.SortStableFunc(all, func(a, b stageState) int { return system.Stage(a.Counts) - system.Stage(b.Counts) })
	return all
}

// topics says how far the groups are that read a topic. Of a group of which no instance runs nobody knows it.
func topics(instances []system.Instance) []topicState {
	groups := map[string]map[string]groupState{} // by topic and group
	for _, i := range instances {
		for _, g := range i.Groups {
			if g.Topic == "" { // it has not joined yet
				continue
			}
			if groups[g.Topic] == nil {
				groups[g.Topic] = map[string]groupState{}
			}
			state := groups[g.Topic][g.Group]
			state.Group = g.Group
			if !i.Gone && g.Partitions > 0 {
				state.Partitions += g.Partitions
				state.Lag = new(g.Lag + valueOr0(state.Lag))
				state.LagSeconds = new(max(g.LagSeconds, valueOr0(state.LagSeconds)))
			}
			groups[g.Topic][g.Group] = state
		}
	}
	all := []topicState{}
	for _, topic := range slices.Sorted(maps.Keys(groups)) {
		t := topicState{Topic: topic}
		for _, group := range slices.Sorted(maps.Keys(groups[topic])) {
			state := groups[topic][group]
			t.Groups = append(t.Groups, state)
			if state.Partitions > valueOr0(t.Partitions) {
				t.Partitions = &state.Partitions
			}
		}
		all = append(all, t)
	}
	return all
}

func valueOr0[T int | int64 | float64](v *T) T {
	if v == nil {
		return 0
	}
	return *v
}
