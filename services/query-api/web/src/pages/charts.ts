// The pages with charts, which are loaded together: what they share is large, and no other page needs it.
export { default as Device } from "./device";
export { default as Explore } from "./explore";
