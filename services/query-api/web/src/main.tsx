import { type ComponentType, render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Failure } from "./parts/failure";
import { Layout } from "./parts/layout";
import { Page } from "./parts/page";
import { find, place, start } from "./router";
import { type Params, routes } from "./routes";
import { text } from "./text";

type Loaded = ComponentType<{ params: Params }> | "failed" | null;

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
        Shown && <Shown key={path} params={found.params} />
      )}
    </Layout>
  );
}

start(routes);
render(<App />, document.body);
