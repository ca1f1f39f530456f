// All English texts of the dashboard. Another language is another file of this form.

export const text = {
  product: "Telltale",
  unknown: "–",
  skip: "Skip to the content",
  menu: "Menu",
  nav: {
    label: "Pages",
    overview: "Overview",
    api: "API",
  },
  loading: "Loading …",
  retry: "Try again",
  errors: {
    title: "This did not work",
    noAnswer: "Telltale does not answer.",
    status: (status: number) => `Telltale answered with the status ${status}.`,
    page: "This page could not be loaded. Telltale may have been upgraded.",
    reload: "Load it again",
    notFound: "There is no such page.",
  },
  live: {
    connecting: "Connecting …",
    live: "Live",
    reconnecting: (behind: string) => `Reconnecting, ${behind} behind`,
    lost: "The connection is lost, and what is shown is no longer new.",
    paused: "Paused",
  },
  ages: {
    seconds: (n: string) => `${n} s`,
    minutes: (n: string) => `${n} min`,
    hours: (n: string) => `${n} h`,
    days: (n: string) => `${n} d`,
  },
  status: { online: "online", offline: "offline", never: "never seen" },
  overview: {
    title: "Overview",
    device: "Device",
    status: "Status",
    seen: "Last seen",
    none: "No device has sent anything yet.",
  },
};
