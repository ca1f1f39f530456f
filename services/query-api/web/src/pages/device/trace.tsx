import { api } from "../../api";
import { age } from "../../format";
import { Age } from "../../parts/age";
import { Failure } from "../../parts/failure";
import { useLoaded } from "../../parts/loaded";
import { Table } from "../../parts/table";
import { text } from "../../text";
import type { Trace } from "../../types";

// TraceSection says why something of a device may not appear, the likeliest reasons first.
export function TraceSection({ id }: { id: string }) {
  const { value: found, failure, again } = useLoaded(async (signal) => {
    const trace = await api.get<Trace>(`/api/devices/${encodeURIComponent(id)}/trace/`, {}, signal);
    return { trace, at: new Date().toISOString() };
  }, [id]);
  const t = text.trace;
  return (
    <section aria-labelledby="trace" class="trace">
      <h2 id="trace">{t.title}</h2>
      {failure.value !== null && <Failure message={failure.value} again={again} />}
      {found.value && <Found trace={found.value.trace} />}
      {found.value && (
        <p class="row quiet">
          <span>
            {t.asOf} <Age at={found.value.at} /> {t.ago}
          </span>
          <button type="button" onClick={again}>
            {t.again}
          </button>
        </p>
      )}
    </section>
  );
}

function Found({ trace: { hints, listens, connections, last_message: message, clock_skew_seconds: skew, near_misses: nearMisses } }: { trace: Trace }) {
  const t = text.trace;
  return (
    <>
      <h3>{t.hints}</h3>
      {hints.length === 0 ? (
        <p>{t.noHints}</p>
      ) : (
        <ol>
          {hints.map((hint) => (
            <li key={hint}>
              <bdi>{hint}</bdi>
            </li>
          ))}
        </ol>
      )}
      <h3>{t.connections}</h3>
      {connections.length === 0 && <p class="quiet">{listens ? t.noConnections : t.elsewhere}</p>}
      {connections.length > 0 && (
        <Table
          label={t.connections}
          rows={connections}
          id={(one) => `${one.replica} ${one.client_id} ${one.since}`}
          columns={[
            { head: t.client, cell: (one) => <bdi class="mono">{one.client_id}</bdi> },
            { head: t.address, cell: (one) => <bdi class="mono">{one.address}</bdi> },
            { head: t.protocol, cell: (one) => one.protocol },
            { head: t.since, cell: (one) => <Age at={one.since} /> },
            { head: t.until, cell: (one) => (one.until === null ? t.now : <Age at={one.until} />) },
            { head: t.refused, cell: (one) => <bdi>{one.refused ?? text.unknown}</bdi> },
          ]}
        />
      )}
      <h3>{t.lastMessage}</h3>
      {message === null ? (
        <p class="quiet">{t.noMessage}</p>
      ) : (
        <p>
          <bdi class="mono">{message.topic}</bdi> {message.client_id !== null && <bdi>{t.message(message.client_id)}</bdi>} <Age at={message.at} /> {t.ago}: {t.outcomes[message.outcome]}
        </p>
      )}
      {skew !== null && Math.abs(skew) >= 1 && (
        <p>
          {t.skew}: {skew > 0 ? t.behind(age(skew * 1000)) : t.ahead(age(-skew * 1000))}
        </p>
      )}
      {nearMisses.length > 0 && (
        <>
          <h3>{t.nearMisses}</h3>
          <ul>
            {nearMisses.map((one) => (
              <li key={`${one.topic} ${one.member}`}>
                <bdi class="mono">{one.topic}</bdi> (<Age at={one.last} /> {t.ago}): <bdi>{one.hint}</bdi>
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}
