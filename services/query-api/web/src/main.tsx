import { type ComponentChildren, type ComponentType, render } from "preact";
import { useEffect, useErrorBoundary, useState } from "preact/hooks";
import { Failure } from "./parts/failure";
import { messageOf } from "./parts/fault";
import { Layout } from "./parts/layout";
import { Page } from "./parts/page";
import { find, place, start } from "./router";
import { type Params, routes } from "./routes";
import { text } from "./text";

type Loaded = ComponentType<{ params: Params }> | "failed" | null;

// Guarded says so where what is in it fails: what stands around it goes on.
function Guarded({ children }: { children: ComponentChildren }) {
  const [message, setMessage] = useState("");
  const [fault, again] = useErrorBoundary((err) => setMessage(messageOf(err)));
  return fault ? <Failure message={message} again={again} /> : <>{children}</>;
}

function App() {
  const { path } = place.value;
  const found = find(routes, path);
  const [loaded, setLoaded] = useState<{ path: string; page: Loaded }>({ path: "", page: null });
  useEffect(() => {
    let current = true;
    const show = (page: Loaded) => current && setLoaded({ path, page });
    found?.route.load().then((module) => show(module.default), () => show("failed"));
    return () => void (current = false);
  }, [path]);

  const Shown = loaded.path === path ? loaded.page : null;
  return (
    <Layout>
      {!found ? (
        <Page title={text.errors.notFound} />
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
render(<App />, document.body);
