-- RELOAD's framing header (RFC 6940 section 6.6.2) over the byte stream inside TLS.
--
-- Wireshark registers its framing dissector for no TLS port, and leaves it to find one frame in each
-- segment.  Here the stream is cut into frames and each is handed on.
-- RELOAD_TLS_PORTS: the ports, separated by commas.

local DATA, ACK = 128, 129
local DATA_HEADER, ACK_LENGTH = 8, 9

local framing = Dissector.get("reload-framing")
local stream = Proto("reload_stream", "RELOAD frames in a stream")
local bad_type = ProtoExpert.new("reload_stream.type", "No RELOAD frame", expert.group.MALFORMED,
                                 expert.severity.ERROR)
stream.experts = { bad_type }

-- The length of the frame at an offset; nil where more must arrive to tell.
local function frame_length(buffer, at)
    local kind = buffer(at, 1):uint()
    if kind == ACK then return ACK_LENGTH end
    if kind ~= DATA then return 0 end
    if buffer:len() - at < DATA_HEADER then return nil end
    return DATA_HEADER + buffer(at + 5, 3):uint()
end

function stream.dissector(buffer, packet, tree)
    local at = 0
    while at < buffer:len() do
        local length = frame_length(buffer, at)
        if length == 0 then
            tree:add(stream, buffer(at)):add_proto_expert_info(bad_type)
            return buffer:len()
        end
        local left = buffer:len() - at
        if length == nil or length > left then
            packet.desegment_offset = at
            packet.desegment_len = length and length - left or DESEGMENT_ONE_MORE_SEGMENT
            return buffer:len()
        end
        framing:call(buffer(at, length):tvb(), packet, tree)
        at = at + length
    end
    return at
end

for port in string.gmatch(os.getenv("RELOAD_TLS_PORTS") or "", "%d+") do
    DissectorTable.get("tls.port"):add(tonumber(port), stream)
end
