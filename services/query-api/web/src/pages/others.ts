// All other pages, which are loaded together: each is small, and they share more than they have by themselves.
export { default as Audit } from "./audit";
export { default as Credentials } from "./credentials";
export { default as DeadLetters } from "./dead-letters";
export { default as Devices } from "./admin-devices";
export { default as Ignored } from "./ignored";
export { default as Mappings } from "./mappings";
export { default as Refused } from "./refused";
export { default as System } from "./system";
export { default as Tokens } from "./tokens";
export { default as Users } from "./admin-users";
