import { type ComponentChildren, type ComponentType, render } from "preact";
import { useEffect, useErrorBoundary, useState } from "preact/hooks";
import { identify, may, me } from "./access";
import { ApiError, address } from "./api";
import { Failure } from "./parts/failure";
import { messageOf } from "./parts/fault";
import { Layout } from "./parts/layout";
import { Page } from "./parts/page";
import { useLoaded } from "./parts/loaded";
import { find, navigate, place, start } from "./router";
import { type Params, routes } from "./routes";
import { text } from "./text";

type Loaded = ComponentType<{ params: Params }> | "failed" | null;

// Guarded says so where what is in it fails: what stands around it goes on.
function Guarded({ children }: { children: ComponentChildren }) {
  const [message, setMessage] = useState("");
  const [fault, again] = useErrorBoundary((err) => setMessage(messageOf(err)));
  return fault ? <Failure message={message} again={again} /> : <>{children}</>;
}

const retry = 2_000; // ms
const login = "/login";

// useIdentity asks who looks at the pages until it is known, and has him log in where he must. It returns why it is not.
function useIdentity(): string | null {
  const { failure, again } = useLoaded(async (signal) => {
    try {
      await identify(signal);
    } catch (err) {
      if (!(err instanceof ApiError && err.status === 401)) throw err;
      if (place.peek().path.replace(/\/$/, "") !== login) navigate(address(login, { next: location.pathname + location.search }), { step: false });
    }
  }, []);
  useEffect(() => {
    if (failure.value === null) return;
    const timer = setInterval(again, retry);
    return () => clearInterval(timer);
  }, [failure.value]);
  return failure.value;
}

function App() {
  const unknown = useIdentity();
  const { path } = place.value;
  const found = find(routes, path);
  const [loaded, setLoaded] = useState<{ path: string; page: Loaded }>({ path: "", page: null });
  useEffect(() => {
    let current = true;
    const show = (page: Loaded) => current && setLoaded({ path, page });
    found?.route.load().then(show, () => show("failed"));
    return () => void (current = false);
  }, [path]);

  const Shown = loaded.path === path ? loaded.page : null;
  const need = found?.route.need;
  return (
    <Layout>
      {unknown !== null ? (
        <Failure message={unknown} />
      ) : me.value === null && found?.route.path !== login ? null : !found ? (
        <Page title={text.errors.notFound} />
      ) : need && !may(need) ? (
        <Page title={text.errors.notAllowed} />
      ) : Shown === "failed" ? (
        <Failure message={text.errors.page} again={() => location.reload()} label={text.errors.reload} />
      ) : (
        Shown && (
          <Guarded key={path}>
            <Shown params={found.params} />
          </Guarded>
        )
      )}
    </Layout>
  );
}

start(routes);
addEventListener("pageshow", ({ persisted }) => persisted && me.peek()?.auth === "session" && location.reload()); // it may have ended
render(<App />, document.body);
