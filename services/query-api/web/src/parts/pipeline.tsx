import type { ComponentChildren } from "preact";
import { age, integer, number } from "../format";
import { type Group, type Picture, type Station } from "../system";
import { text } from "../text";

const words = text.system;

// Pipeline is the way of readings as a picture: a list of three columns with arrows between, one below the other on a narrow
// screen.
export function Pipeline({ picture }: { picture: Picture }) {
  return (
    <ol class="pipeline" aria-label={words.pipeline}>
      <Column title={words.sources}>
        {picture.sources.map((station) => (
          <Box key={station.counts} station={station} />
        ))}
      </Column>
      <Column title={words.log}>
        <li class="card">
          <h4>
            <bdi>{picture.topic ?? text.unknown}</bdi>
          </h4>
          <p class="quiet">{words.logAbout}</p>
          <Figures>
            <Lag group={picture.waiting} />
          </Figures>
        </li>
      </Column>
      <Column title={words.consumers}>
        {picture.consumers.map((station) => (
          <Box key={station.counts} station={station} />
        ))}
      </Column>
    </ol>
  );
}

function Column({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <li>
      <h3>{title}</h3>
      <ul>{children}</ul>
    </li>
  );
}

function Box({ station: { counts, service, stage, group } }: { station: Station }) {
  const wrong = stage !== null && !stage.adds_up;
  return (
    <li class={wrong ? "card wrong" : "card"}>
      <h4>{words.stations[counts]}</h4>
      <p class="quiet mono">{service}</p>
      <Figures>
        {counts !== "dead_letters" && (
          <>
            <Figure name={words.rate} value={words.perSecond(number(stage?.rate))} />
            <Figure name={words.total} value={integer(stage?.received_total)} />
            <Figure name={words.inFlight} value={integer(stage?.in_flight)} />
          </>
        )}
        {group && <Lag group={group} />}
      </Figures>
      {wrong && <p class="bad">{words.wrong}</p>}
    </li>
  );
}

const Figures = ({ children }: { children: ComponentChildren }) => <dl class="figures">{children}</dl>;

const Figure = ({ name, value }: { name: string; value: string }) => (
  <div>
    <dt>{name}</dt>
    <dd>{value}</dd>
  </div>
);

const Lag = ({ group }: { group: Group | null }) => (
  <>
    <Figure name={words.lag} value={integer(group?.lag)} />
    <Figure name={words.oldest} value={group === null || group.lag_seconds === null ? text.unknown : age(group.lag_seconds * 1000)} />
  </>
);
