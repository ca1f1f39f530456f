-- Writes what devices have come to, where what is kept of them still is what the writer has read. The keys of one call
-- are the index of the devices that are online, then the value of each device, each once. The arguments are the time (ms
-- since 1970), the time to live (ms), up to when the index forgets, and how many bytes may be returned; then of each
-- device what was kept of it, as returned before, or '' where the writer has read nothing, and its window (window.go).
--
-- Returned is a text with a digit for each device, then what is kept of each device with the digit 3:
-- {in short, the window, the value, for how many ms that is kept}.
local covered, written, again, differs = '0', '1', '2', '3'

-- A reading's own timestamp. The members in front of it are numbers and null, so the first match is the one. '' for a
-- value that Telltale did not write.
local function timestamp(reading)
  return string.match(reading, '"timestamp":"(%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ)"') or ''
end

-- The header of a window, the newest arrival, and where it is just the reading that arrived then, the time of that and
-- its names.
local function parse(window)
  local header, newest, one = string.match(window, '^(%w+ (%d+)([^\n]*))')
  local at, names = string.match(one or '', '^ (%d+) (%w+)$')
  return header or '', tonumber(newest), tonumber(at), names
end

local index, now, ttl, forget, most = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local window_keys = {}
for i = 2, #KEYS do
  window_keys[i - 1] = string.gsub(KEYS[i], 'device', 'window')
end
local values = redis.call('MGET', unpack(KEYS, 2)) -- false for what is missing or no string
local windows = redis.call('MGET', unpack(window_keys))

local outcomes, reply = {}, {''}
for i = 1, #values do
  local key, read, window = KEYS[i + 1], ARGV[2 * i + 3], ARGV[2 * i + 4]
  local header, newest, at, names = parse(window)
  local old_value, old_window = values[i] or '', windows[i] or ''
  local old_header, old_newest, old_at, old_names = parse(old_window)
  local kept = old_header .. '\n' .. timestamp(old_value) -- the second is for writers that know no windows

  local outcome = differs
  if read == kept or read == '' and kept == '\n' then
    outcome = written
  elseif read == '' and at and names == old_names and old_newest < now + ttl then
    -- Each of the two windows is one reading, and both have the same names. What is shown must be that of the old one.
    if old_value == '' and old_newest + ttl <= now or old_value == string.sub(old_window, #old_header + 2) then
      if at > old_at and newest >= old_newest then
        outcome = written
      elseif newest <= old_newest and (at < old_at or at == old_at and newest == old_newest) then
        outcome = covered
      end
    end
  end

  if outcome == written then
    local expires = newest + ttl
    if expires > now then
      redis.call('ZADD', index, expires, key)
      redis.call('SET', key, string.match(window, '\n([^\n]*)'), 'PX', expires - now)
    end
    redis.call('SET', window_keys[i], window, 'PX', math.max(expires + ttl - now, 1))
  elseif outcome == differs and most <= 0 then
    outcome = again
  elseif outcome == differs then
    most = most - #old_window - #old_value
    reply[#reply + 1] = {kept, old_window, old_value, redis.call('PTTL', key)}
  end
  outcomes[i] = outcome
end

redis.call('ZREMRANGEBYSCORE', index, '-inf', forget)
reply[1] = table.concat(outcomes)
return reply
